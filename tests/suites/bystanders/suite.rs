//! Another suite's containers: a bridge with two of them, masqueraded. One publishes 20150 of the host, as a pod of
//! ours does, and 20300. Foreign rules come before ours, so their ports stay theirs.

use std::net::IpAddr;

use linkspan_harness::world::{Cable, add_address, lead, plug};
use linkspan_netlink::link::{self, LinkSpec};
use linkspan_nftables::expr::{self, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule};
use linkspan_protocol::family::Family;

use crate::service::{DSTNAT, forward_port};
use crate::stage::Stage;
use crate::{Kind, conversation};

pub(crate) const KIND: Kind = Kind {
    build,
    ask: |stage| conversation::answers(stage, TABLE),
};

/// A port that a pod of ours publishes, too.
pub(crate) const TAKEN: u16 = 20150;

const BRIDGE: &str = "theirs0";
const GATEWAY: [&str; 2] = ["172.17.0.1", "fd17::1"];
const CONTAINERS: [(&str, &str, [&str; 2]); 2] = [
    ("first", "theirs1", ["172.17.0.2", "fd17::2"]),
    ("second", "theirs2", ["172.17.0.3", "fd17::3"]),
];

/// `NF_IP_PRI_NAT_SRC`
const SRCNAT: i32 = 100;

fn build(stage: &mut Stage<'_>) {
    let lab = stage.lab;
    let host = lab.rtnl();
    host.create(&LinkSpec {
        mac: Some([2, 0, 0, 0, 0, 17]),
        ..LinkSpec::new(BRIDGE, link::Kind::Bridge)
    })
    .unwrap();
    let bridge = host.link_by_name(BRIDGE).unwrap().unwrap();
    bridge.set_up().unwrap();
    for address in GATEWAY {
        add_address(&bridge, address.parse().unwrap());
    }
    for (name, port, far) in CONTAINERS {
        let container = stage.enter(name);
        let cable = Cable {
            name: port,
            bridge: Some(bridge.index),
            near: &[],
            far: &far,
        };
        plug(lab, container, cable);
        lead(container, "eth0", &GATEWAY);
    }
    stage.rules("theirs", &chains());
}

fn chains() -> [Chain; 3] {
    let first = CONTAINERS[0].2.map(|ip| ip.parse::<IpAddr>().unwrap());
    let mut published = Vec::new();
    for ip in first {
        for port in [TAKEN, 20300] {
            published.push(forward_port(None, port, (ip, 80)));
        }
    }
    let base = |hook, priority| {
        Some(Base {
            kind: ChainKind::Nat,
            hook,
            priority,
        })
    };
    [
        Chain {
            name: "prerouting",
            comment: "",
            base: base(Hook::Prerouting, DSTNAT),
            rules: published.clone(),
        },
        Chain {
            name: "output",
            comment: "",
            base: base(Hook::Output, DSTNAT),
            rules: published,
        },
        Chain {
            name: "postrouting",
            comment: "",
            base: base(Hook::Postrouting, SRCNAT),
            rules: [
                masquerade(Family::V4, Header::IP_SADDR.first(3), &[172, 17, 0]),
                masquerade(Family::V6, Header::IP6_SADDR.first(2), &[0xfd, 0x17]),
            ]
            .to_vec(),
        },
    ]
}

/// Masquerades traffic from there to elsewhere: `ip saddr 172.17.0.0/24 oifname != "theirs0" masquerade`
fn masquerade(family: Family, source: Header, network: &[u8]) -> Rule {
    /// `IFNAMSIZ`
    const NAME: usize = 16;
    let mut name = [0; NAME];
    name[..BRIDGE.len()].copy_from_slice(BRIDGE.as_bytes());
    let mut exprs = expr::of_family(family).to_vec();
    exprs.extend([
        expr::load(source, 0),
        expr::equal(0, network),
        expr::meta(MetaKey::Oifname, 0),
        expr::differ(0, &name),
        expr::masquerade(),
    ]);
    Rule { exprs }
}

const TABLE: &str = "
    # caller  from                  calls                  server  at                   seen
    first     172.17.0.2:20010      172.17.0.3:20008       second  172.17.0.3:20008     172.17.0.2
    first     172.17.0.2:20011      192.0.2.2:20008        world   192.0.2.2:20008      192.0.2.1
    first     172.17.0.2:20012      172.17.0.1:9000        host    172.17.0.1:9000      172.17.0.2
    first     172.17.0.2:20013      192.0.2.1:9000         host    192.0.2.1:9000       172.17.0.2
    host      172.17.0.1:20014      172.17.0.2:20008       first   172.17.0.2:20008     172.17.0.1
    host      127.0.0.1:9001        172.17.0.1:9000        host    172.17.0.1:9000      127.0.0.1
    world     192.0.2.2:20015       192.0.2.1:20300        first   172.17.0.2:80        192.0.2.2
    world     192.0.2.2:20016       192.0.2.1:20150        first   172.17.0.2:80        192.0.2.2
    host      192.0.2.1:20017       192.0.2.1:20150        first   172.17.0.2:80        192.0.2.1
    first     [fd17::2]:20018       [fd17::3]:20008        second  [fd17::3]:20008      fd17::2
    first     [fd17::2]:20019       [2001:db8::2]:20008    world   [2001:db8::2]:20008  2001:db8::1
    first     [fd17::2]:20020       [fd17::1]:9000         host    [fd17::1]:9000       fd17::2
    first     [fd17::2]:20021       [2001:db8::1]:9000     host    [2001:db8::1]:9000   fd17::2
    host      [fd17::1]:20022       [fd17::2]:20008        first   [fd17::2]:20008      fd17::1
    host      [::1]:9001            [fd17::1]:9000         host    [fd17::1]:9000       ::1
    world     [2001:db8::2]:20023   [2001:db8::1]:20300    first   [fd17::2]:80         2001:db8::2
    world     [2001:db8::2]:20024   [2001:db8::1]:20150    first   [fd17::2]:80         2001:db8::2
    host      [2001:db8::1]:20025   [2001:db8::1]:20150    first   [fd17::2]:80         2001:db8::1
";
