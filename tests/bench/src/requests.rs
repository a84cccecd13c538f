//! The necessary requests of one attachment, and the values that a result needs; nothing else.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer, PortFlags};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::changes::wait_while_busy;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set, Table, TableFamily};
use linkspan_nftables::{Batch, Netfilter};
use nix::errno::Errno;

const TABLE: Table = Table {
    family: TableFamily::Inet,
    name: "bench",
};

/// The elements of a published port. Masquerade belongs to the network, and costs an attachment nothing.
const PUBLISH: &Set = &Set::of("publish", &[Datum::Protocol, Datum::Port])
    .to(&[Datum::Ipv4, Datum::Port])
    .expiring();
const CLAIMS: &Set = &Set::of("claims", &[Datum::Protocol, Datum::Port])
    .to(&[Datum::Mark])
    .expiring();
const LOCALHOST: &Set = &Set::of("localhost", &[Datum::Protocol, Datum::Port])
    .to(&[Datum::Ipv4])
    .expiring();
const HAIRPIN: &Set = &Set::of("hairpin", &[Datum::Ipv4, Datum::Protocol, Datum::Port]).expiring();
const NEIGHBOURS: &Set = &Set::of("neighbours", &[Datum::Ipv4, Datum::Ipv4])
    .of_ranges()
    .expiring();

/// Elements, each with its set.
type Elements = Vec<(&'static Set, Vec<Element>)>;

/// The requests of one case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Loopback,
    Ptp,
    Bridge { dual: bool, ports: Option<u16> },
}

/// A pod: its namespace, and its own names, addresses and ports by its number.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u16,
    netns: Netns,
    sandbox: Rtnl,
}

/// The host.
#[derive(Debug)]
pub(crate) struct Host {
    rtnl: Rtnl,
    /// Unless a port is published nobody needs it.
    netfilter: Option<Netfilter>,
    bridge: Option<u32>,
}

fn four(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    [10, 255, high, low].into()
}

fn six(number: u16) -> IpAddr {
    [0xfd00, 0x255, 0, 0, 0, 0, 0, number].into()
}

impl Seat {
    pub(crate) fn new(netns: Netns, number: u16) -> Self {
        Self {
            number,
            sandbox: Rtnl::open(&netns).unwrap(),
            netns,
        }
    }

    /// The number of its addresses, after the gateway's.
    fn address(&self) -> u16 {
        self.number + 2
    }

    fn link(&self, name: &str) -> Link {
        self.sandbox.link_by_name(name).unwrap().unwrap()
    }

    /// The elements of each of so many ports.
    fn elements(&self, ports: u16) -> Elements {
        if ports == 0 {
            return Vec::new();
        }
        let comment = format!("bench7/{:064x}/eth0", self.number);
        let element = |key: Fields, value| Element {
            key,
            value,
            comment: comment.clone(),
            ..Element::default()
        };
        let ip = |ip| Fields::default().ip(ip);
        let pod = four(self.address());
        let (first, last) = (four(0), four(u16::MAX));
        let least = 20_000 + self.number * ports;
        let port = |fields: Fields, n| fields.protocol(6).port(least + n);
        let of_port = |n, value| element(port(Fields::default(), n), Some(value));
        let neighbours = Element {
            key_end: Some(ip(pod).ip(last)),
            ..element(ip(pod).ip(first), None)
        };
        let publish = |n| of_port(n, ip(pod).port(1000 + n));
        let claim = |n| of_port(n, Fields::default().mark(1));
        let localhost = |n| of_port(n, ip(four(1)));
        let hairpin = |n| element(port(ip(pod), n), None);
        vec![
            (PUBLISH, (0..ports).map(publish).collect()),
            (CLAIMS, (0..ports).map(claim).collect()),
            (LOCALHOST, (0..ports).map(localhost).collect()),
            (HAIRPIN, (0..ports).map(hairpin).collect()),
            (NEIGHBOURS, vec![neighbours]),
        ]
    }
}

impl Host {
    /// The namespace of the thread, without a packet filter.
    pub(crate) fn here() -> Self {
        Self {
            rtnl: Rtnl::here().unwrap(),
            netfilter: None,
            bridge: None,
        }
    }

    /// Takes the bridge of this name, which must be there.
    pub(crate) fn on(self, bridge: &str) -> Self {
        let found = self.rtnl.link_by_name(bridge).unwrap().unwrap();
        Self {
            bridge: Some(found.index),
            ..self
        }
    }

    /// Creates what the network keeps between attachments, unless it is there.
    pub(crate) fn prepare(&mut self, bridge: &str) {
        let found = self.rtnl.link_by_name(bridge).unwrap();
        let link = found.unwrap_or_else(|| self.make_bridge(bridge));
        self.bridge = Some(link.index);
        let mut batch = Batch::default();
        batch.ensure_table(TABLE, "");
        batch.ensure(
            TABLE,
            &[PUBLISH, CLAIMS, LOCALHOST, HAIRPIN, NEIGHBOURS],
            &[],
        );
        let netfilter = Netfilter::open().unwrap();
        netfilter.commit(batch).unwrap();
        self.netfilter = Some(netfilter);
    }

    fn make_bridge(&self, name: &str) -> Link {
        let spec = LinkSpec {
            mac: Some([2, 0, 0, 0, 0, 1]),
            ..LinkSpec::new(name, Kind::Bridge)
        };
        self.rtnl.create(&spec).unwrap();
        let bridge = self.rtnl.link_by_name(name).unwrap().unwrap();
        bridge.set_up().unwrap();
        bridge.add_addr(four(1), 16, AddrFlags::default()).unwrap();
        bridge
    }

    /// Both ends, as the result tells them.
    fn pair(&self, seat: &Seat) -> (Link, Link) {
        let spec = LinkSpec {
            controller: self.bridge,
            ..LinkSpec::new(format!("benchfloor{}", seat.number), Kind::Veth)
        };
        let far = Peer::new("eth0", seat.netns.as_fd());
        self.rtnl.create_pair(&spec, &far).unwrap();
        let host = self.rtnl.link_by_name(&spec.name).unwrap().unwrap();
        (host, seat.link("eth0"))
    }

    /// Commits what `plan` makes. Like ours, it tries again while the kernel rebuilds the table of a set (`EBUSY`).
    fn commit(&self, plan: impl Fn() -> Batch) {
        let Some(netfilter) = &self.netfilter else {
            return;
        };
        loop {
            let batch = plan();
            if batch.is_empty() {
                return;
            }
            match netfilter.commit(batch) {
                Err(err) if err.is(Errno::EBUSY) => wait_while_busy().unwrap(),
                done => return done.unwrap(),
            }
        }
    }
}

impl Work {
    pub(crate) fn attach(self, host: &Host, seat: &Seat) {
        let Self::Bridge { dual, ports } = self else {
            return match self {
                Self::Loopback => seat.link("lo").set_up().unwrap(),
                _ => attach_ptp(host, seat),
            };
        };
        let (port, pod) = host.pair(seat);
        let plain = PortFlags {
            hairpin: false,
            isolated: false,
        };
        port.tag_port(plain, "a floor").unwrap();
        port.set_up().unwrap();
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        pod.add_addr(four(seat.address()), 16, flags).unwrap();
        if dual {
            pod.add_addr(six(seat.address()), 64, flags).unwrap();
        }
        pod.set_up().unwrap();
        let default = |any: IpAddr, gw| RouteSpec {
            gw: Some(gw),
            ..RouteSpec::to(any, 0)
        };
        pod.add_route(&default([0; 4].into(), four(1))).unwrap();
        if dual {
            pod.add_route(&default([0_u16; 8].into(), six(1))).unwrap();
        }
        host.commit(|| {
            let mut batch = Batch::default();
            for (set, elements) in seat.elements(ports.unwrap_or_default()) {
                batch.add(TABLE, set, &elements, true);
            }
            batch
        });
    }

    pub(crate) fn detach(self, host: &Host, seat: &Seat) {
        let ports = match self {
            Self::Loopback => return seat.link("lo").set_down().unwrap(),
            Self::Ptp => None,
            Self::Bridge { ports, .. } => ports,
        };
        host.commit(|| {
            let mut batch = Batch::default();
            for (set, elements) in seat.elements(ports.unwrap_or_default()) {
                batch.expire(TABLE, set, &elements);
            }
            batch
        });
        seat.link("eth0").delete().unwrap();
    }
}

fn attach_ptp(host: &Host, seat: &Seat) {
    let (near, pod) = host.pair(seat);
    let flags = AddrFlags {
        noprefixroute: true,
        ..AddrFlags::default()
    };
    // Then the kernel uses its link-local address at once, as it does with ours.
    let trusted = format!("/proc/sys/net/ipv6/conf/{}/accept_dad", near.name);
    fs::write(trusted, "0").unwrap();
    near.set_up().unwrap();
    pod.add_addr(four(seat.address()), 16, flags).unwrap();
    pod.set_up().unwrap();
    let gateway = RouteSpec {
        scope: Some(253),
        ..RouteSpec::to(four(1), 32)
    };
    let behind = RouteSpec {
        gw: Some(four(1)),
        ..RouteSpec::to(four(0), 16)
    };
    for route in [gateway, behind] {
        pod.add_route(&route).unwrap();
    }
    near.add_addr(four(1), 32, AddrFlags::default()).unwrap();
    near.add_route(&RouteSpec::to(four(seat.address()), 32))
        .unwrap();
}
