//! A wire with addresses of 127.0.0.0/8, as between the cards of some switches: the host's own loopback address is
//! only 127.0.0.1, and the others are routed by its link to the card.

use linkspan_harness::lab::Sandbox;
use linkspan_harness::world::{Cable, plug, set_sysctl};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::rtnl::Rtnl;

use crate::stage::Stage;
use crate::{Kind, conversation};

pub(crate) const KIND: Kind = Kind {
    build,
    ask: |stage| conversation::answers(stage, TABLE),
};

const WIRE: Cable<'_> = Cable {
    name: "wire0",
    bridge: None,
    near: &["127.9.0.1"],
    far: &["127.9.0.2"],
};

fn build(stage: &mut Stage<'_>) {
    let lab = stage.lab;
    narrow_loopback(&lab.rtnl());
    let card: &Sandbox = stage.enter("card");
    card.rtnl()
        .link_by_name("lo")
        .unwrap()
        .unwrap()
        .set_up()
        .unwrap();
    narrow_loopback(&card.rtnl());
    plug(lab, card, WIRE);
    for (netns, link) in [(lab.host(), WIRE.name), (&card.netns, "eth0")] {
        set_sysctl(netns, &format!("ipv4/conf/{link}/route_localnet"), "1");
    }
}

/// Keeps 127.0.0.1 on `lo`, and removes the rest of its network.
fn narrow_loopback(rtnl: &Rtnl) {
    let lo = rtnl.link_by_name("lo").unwrap().unwrap();
    let ip = "127.0.0.1".parse().unwrap();
    lo.del_addr(ip, 8).unwrap();
    lo.add_addr(ip, 32, AddrFlags::default()).unwrap();
}

const TABLE: &str = "
    # caller  from               calls              server  at                 seen
    host      127.9.0.1:9001     127.9.0.2:9000     card    127.9.0.2:9000     127.9.0.1
    host      127.9.0.1:20007    127.9.0.2:20008    card    127.9.0.2:20008    127.9.0.1
    card      127.9.0.2:9001     127.9.0.1:9000     host    127.9.0.1:9000     127.9.0.2
    card      127.9.0.2:20007    127.9.0.1:9000     host    127.9.0.1:9000     127.9.0.2
    host      127.0.0.1:20007    127.0.0.1:9000     host    127.0.0.1:9000     127.0.0.1
    host      127.0.0.1:20007    127.9.0.1:9000     host    127.9.0.1:9000     127.0.0.1
";
