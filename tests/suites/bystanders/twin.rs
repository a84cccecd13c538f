//! Another, earlier bridge with the subnet of our pods, so that the host's route leads there: its stations keep their
//! own addresses, although one of them has the address of a pod.

use linkspan_harness::lab::Lab;
use linkspan_harness::world::{Cable, lead, plug};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{self, LinkSpec};

use crate::stage::Stage;
use crate::{Kind, conversation};

pub(crate) const KIND: Kind = Kind {
    build,
    ask: |stage| conversation::answers(stage, TABLE),
};

const GATEWAY: [(&str, u8); 2] = [("10.1.0.1", 16), ("fd00:1::1", 64)];
const STATIONS: [(&str, &str, [&str; 2]); 2] = [
    ("distinct", "twin1", ["10.1.0.200", "fd00:1::c8"]),
    ("double", "twin2", ["10.1.0.2", "fd00:1::2"]),
];

fn build(stage: &mut Stage<'_>) {
    let lab = stage.lab;
    let index = bridge(lab, "twin0", 18);
    // The pods' bridge has its addresses already, because ADD would refuse those of another link.
    bridge(lab, "br0", 19);
    for (name, port, far) in STATIONS {
        let station = stage.enter(name);
        let cable = Cable {
            name: port,
            bridge: Some(index),
            near: &[],
            far: &far,
        };
        plug(lab, station, cable);
        lead(station, "eth0", &GATEWAY.map(|(gateway, _)| gateway));
    }
}

/// A bridge with the gateway's addresses.
fn bridge(lab: &Lab, name: &str, last: u8) -> u32 {
    let host = lab.rtnl();
    host.create(&LinkSpec {
        mac: Some([2, 0, 0, 0, 0, last]),
        ..LinkSpec::new(name, link::Kind::Bridge)
    })
    .unwrap();
    let bridge = host.link_by_name(name).unwrap().unwrap();
    bridge.set_up().unwrap();
    for (gateway, len) in GATEWAY {
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        bridge
            .add_addr(gateway.parse().unwrap(), len, flags)
            .unwrap();
    }
    bridge.index
}

const TABLE: &str = "
    # caller  from                 calls                  server    at                   seen
    distinct  10.1.0.200:20007     192.0.2.2:20008        world     192.0.2.2:20008      10.1.0.200
    world     192.0.2.2:20007      10.1.0.200:20008       distinct  10.1.0.200:20008     192.0.2.2
    double    10.1.0.2:20007       10.1.0.200:20008       distinct  10.1.0.200:20008     10.1.0.2
    double    10.1.0.2:20007       192.0.2.2:20008        world     192.0.2.2:20008      10.1.0.2
    distinct  [fd00:1::c8]:20007   [2001:db8::2]:20008    world     [2001:db8::2]:20008  fd00:1::c8
    world     [2001:db8::2]:20007  [fd00:1::c8]:20008     distinct  [fd00:1::c8]:20008   2001:db8::2
    double    [fd00:1::2]:20007    [fd00:1::c8]:20008     distinct  [fd00:1::c8]:20008   fd00:1::2
    double    [fd00:1::2]:20007    [2001:db8::2]:20008    world     [2001:db8::2]:20008  fd00:1::2
";
