//! The floor: the kernel's own time for an attachment, in one process that is running already. It sends the necessary
//! requests, and reads only the values that the result needs.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer, PortFlags};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set, Table, TableFamily};
use linkspan_nftables::{Batch, Netfilter};
use nix::sys::resource::UsageWho;

use crate::process::{Cost, Mode, timed};
use crate::scenario::{Scenario, Who};

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
    Bridge { six: bool, ports: Option<u16> },
}

/// The default bridge.
const BRIDGE: &str = "benchfloor0";

/// One attachment, repeated.
#[derive(Debug)]
pub(crate) struct Floor {
    case: String,
    base: Option<String>,
    work: Work,
    /// The bridge's name.
    on: String,
    host: Rtnl,
    sandbox: Rtnl,
    netns: Netns,
    bridge: Option<u32>,
    netfilter: Netfilter,
}

/// The floors of the cases in [`crate::cases`].
pub(crate) fn floors() -> Vec<Box<dyn Scenario>> {
    let bridge = |six, ports| Work::Bridge { six, ports };
    let cases = [
        ("loopback", Work::Loopback),
        ("bridge", bridge(false, None)),
        ("bridge, dual stack", bridge(true, None)),
        ("ptp", Work::Ptp),
        ("pod chain", bridge(false, Some(1))),
        ("pod chain, 20 ports", bridge(false, Some(20))),
        ("pod chain, 1,000 ports", bridge(false, Some(1000))),
    ];
    let floor = |(case, work)| -> Box<dyn Scenario> { Box::new(Floor::new(case, work)) };
    cases.into_iter().map(floor).collect()
}

fn four(last: u8) -> IpAddr {
    [10, 255, 0, last].into()
}

fn six(last: u16) -> IpAddr {
    [0xfd00, 0x255, 0, 0, 0, 0, 0, last].into()
}

/// The elements of each port of the pod.
fn elements(ports: u16) -> Elements {
    if ports == 0 {
        return Vec::new();
    }
    let comment = format!("bench7/{:064x}/eth0", 0);
    let element = |key: Fields, value| Element {
        key,
        value,
        comment: comment.clone(),
        ..Element::default()
    };
    let ip = |ip| Fields::default().ip(ip);
    let (pod, first, last) = (four(2), four(0), [10, 255, 255, 255].into());
    let port = |fields: Fields, n| fields.protocol(6).port(20_000 + n);
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

impl Floor {
    /// Works in the namespace of the thread.
    pub(crate) fn new(case: &str, work: Work) -> Self {
        let netns = Netns::create().unwrap();
        Self {
            case: case.to_owned(),
            base: None,
            work,
            on: BRIDGE.to_owned(),
            host: Rtnl::here().unwrap(),
            sandbox: Rtnl::open(&netns).unwrap(),
            netns,
            bridge: None,
            netfilter: Netfilter::open().unwrap(),
        }
    }

    /// On the bridge of others, as growth of another case.
    pub(crate) fn among(self, bridge: &str, base: Option<String>) -> Self {
        Self {
            on: bridge.to_owned(),
            base,
            ..self
        }
    }

    fn sandbox_link(&self, name: &str) -> Link {
        self.sandbox.link_by_name(name).unwrap().unwrap()
    }

    fn attach(&self) {
        let Work::Bridge { six: dual, ports } = self.work else {
            return match self.work {
                Work::Loopback => self.sandbox_link("lo").set_up().unwrap(),
                _ => self.attach_ptp(),
            };
        };
        let (host, pod) = self.pair();
        let plain = PortFlags {
            hairpin: false,
            isolated: false,
        };
        host.tag_port(plain, "a floor").unwrap();
        host.set_up().unwrap();
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        pod.add_addr(four(2), 16, flags).unwrap();
        if dual {
            pod.add_addr(six(2), 64, flags).unwrap();
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
        let mut batch = Batch::default();
        for (set, elements) in elements(ports.unwrap_or_default()) {
            batch.add(TABLE, set, &elements, true);
        }
        if !batch.is_empty() {
            self.netfilter.commit(batch).unwrap();
        }
    }

    fn attach_ptp(&self) {
        let (host, pod) = self.pair();
        let flags = AddrFlags {
            noprefixroute: true,
            ..AddrFlags::default()
        };
        // Then the kernel uses its link-local address at once, like that of a pod that has lived for two seconds, and
        // has the same waits when the link goes.
        let trusted = format!("/proc/sys/net/ipv6/conf/{}/accept_dad", host.name);
        fs::write(trusted, "0").unwrap();
        host.set_up().unwrap();
        pod.add_addr(four(2), 16, flags).unwrap();
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
        host.add_addr(four(1), 32, AddrFlags::default()).unwrap();
        host.add_route(&RouteSpec::to(four(2), 32)).unwrap();
    }

    fn make_bridge(&self) -> Link {
        let spec = LinkSpec {
            mac: Some([2, 0, 0, 0, 0, 1]),
            ..LinkSpec::new(&*self.on, Kind::Bridge)
        };
        self.host.create(&spec).unwrap();
        let bridge = self.host.link_by_name(&spec.name).unwrap().unwrap();
        bridge.set_up().unwrap();
        bridge.add_addr(four(1), 16, AddrFlags::default()).unwrap();
        bridge
    }

    /// Both ends, as the result tells them.
    fn pair(&self) -> (Link, Link) {
        let spec = LinkSpec {
            controller: self.bridge,
            ..LinkSpec::new("benchfloor", Kind::Veth)
        };
        let far = Peer::new("eth0", self.netns.as_fd());
        self.host.create_pair(&spec, &far).unwrap();
        let host = self.host.link_by_name(&spec.name).unwrap().unwrap();
        (host, self.sandbox_link("eth0"))
    }

    fn detach(&self) {
        let ports = match self.work {
            Work::Loopback => return self.sandbox_link("lo").set_down().unwrap(),
            Work::Ptp => None,
            Work::Bridge { ports, .. } => ports,
        };
        let mut batch = Batch::default();
        for (set, elements) in elements(ports.unwrap_or_default()) {
            batch.expire(TABLE, set, &elements);
        }
        if !batch.is_empty() {
            self.netfilter.commit(batch).unwrap();
        }
        self.sandbox_link("eth0").delete().unwrap();
    }
}

impl Scenario for Floor {
    fn case(&self) -> String {
        self.case.clone()
    }

    fn who(&self) -> Who {
        Who::Floor
    }

    fn base(&self) -> Option<String> {
        self.base.clone()
    }

    fn prepare(&mut self) {
        if !matches!(self.work, Work::Bridge { .. }) {
            return;
        }
        let found = self.host.link_by_name(&self.on).unwrap();
        let bridge = found.unwrap_or_else(|| self.make_bridge());
        self.bridge = Some(bridge.index);
        let mut batch = Batch::default();
        batch.ensure_table(TABLE, "");
        batch.ensure(
            TABLE,
            &[PUBLISH, CLAIMS, LOCALHOST, HAIRPIN, NEIGHBOURS],
            &[],
        );
        self.netfilter.commit(batch).unwrap();
    }

    fn round(&mut self, _mode: &Mode) -> Vec<(&'static str, Cost)> {
        let ((), attached) = timed(UsageWho::RUSAGE_THREAD, || self.attach());
        let ((), detached) = timed(UsageWho::RUSAGE_THREAD, || self.detach());
        vec![("ADD", attached), ("DEL", detached)]
    }
}
