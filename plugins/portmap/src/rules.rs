//! Published ports in our table: rules once for the host, and elements for each port. Pure.
//!
//! - A new connection to an address of this host is looked up by protocol and port, first with the address and then
//!   without, and sent to the container (`publish`). The chains come after those of `dstnat`, so that a service of
//!   kube-proxy keeps what is its own.
//! - A connection that came in by the interface that it leaves by, as from the container itself or from its neighbour on
//!   the bridge, is masqueraded: otherwise the answer would take a shorter way, and the asker would not know it.
//! - A packet from 127.0.0.1 or `::1` can leave the host only with another source, so it is given the address that the
//!   host has towards the container, before it is tracked (`localhost_out`), and the answer is given the loopback
//!   address again, when tracking is done with it (`localhost_in`). So `route_localnet` stays off: nobody else can
//!   reach what listens on 127.0.0.1, whatever becomes of these rules (CVE-2020-8558).

use std::net::IpAddr;

use linkspan_attach::table::{Pair, Part};
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::expr::{self, Expr, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Element, Hook, Rule, Set};

use crate::mapping::{HostIp, Mapping, Protocol};

macro_rules! set {
    ($name:literal, $key:expr => $value:expr) => {
        &Set {
            name: $name,
            key: &$key,
            value: &$value,
            interval: false,
        }
    };
}

use Datum::{IfName, Ipv4, Ipv6, Port, Protocol as Proto};

/// Ports on every address.
pub(crate) const PUBLISH: Pair = Pair {
    v4: set!("publish_v4", [Proto, Port] => [Ipv4, Port]),
    v6: set!("publish_v6", [Proto, Port] => [Ipv6, Port]),
};

/// Ports on one address.
pub(crate) const PUBLISH_ADDR: Pair = Pair {
    v4: set!("publish_addr_v4", [Ipv4, Proto, Port] => [Ipv4, Port]),
    v6: set!("publish_addr_v6", [Ipv6, Proto, Port] => [Ipv6, Port]),
};

/// The source for connections from the loopback address to ports on every address.
const LOCALHOST: Pair = Pair {
    v4: set!("localhost_v4", [Proto, Port] => [Ipv4]),
    v6: set!("localhost_v6", [Proto, Port] => [Ipv6]),
};

/// The same, to ports on one loopback address.
const LOCALHOST_ADDR: Pair = Pair {
    v4: set!("localhost_addr_v4", [Ipv4, Proto, Port] => [Ipv4]),
    v6: set!("localhost_addr_v6", [Ipv6, Proto, Port] => [Ipv6]),
};

/// Incoming interface, container and port of the host: to be masqueraded.
const HAIRPIN: Pair = Pair {
    v4: set!("hairpin_v4", [IfName, Ipv4, Proto, Port] => []),
    v6: set!("hairpin_v6", [IfName, Ipv6, Proto, Port] => []),
};

/// Container and port of the host: to be masqueraded wherever it comes from.
const MASQ_ALL: Pair = Pair {
    v4: set!("masq_all_v4", [Ipv4, Proto, Port] => []),
    v6: set!("masq_all_v6", [Ipv6, Proto, Port] => []),
};

/// Every set and map.
pub(crate) const SETS: &[&Set] = &[
    PUBLISH.v4,
    PUBLISH.v6,
    PUBLISH_ADDR.v4,
    PUBLISH_ADDR.v6,
    LOCALHOST.v4,
    LOCALHOST.v6,
    LOCALHOST_ADDR.v4,
    LOCALHOST_ADDR.v6,
    HAIRPIN.v4,
    HAIRPIN.v6,
    MASQ_ALL.v4,
    MASQ_ALL.v6,
];

/// The maps that say what is published, with whether their keys begin with an address, and their family.
pub(crate) const PUBLISHED: [(&Set, bool, bool); 4] = [
    (PUBLISH.v4, false, false),
    (PUBLISH.v6, false, true),
    (PUBLISH_ADDR.v4, true, false),
    (PUBLISH_ADDR.v6, true, true),
];

/// Sets and chains of this plugin.
pub(crate) static PART: Part = Part { sets: SETS, chains };

/// After the chains of `dstnat` (-100).
const AFTER_DSTNAT: i32 = -95;
/// `NF_IP_PRI_NAT_SRC`
const SRCNAT: i32 = 100;
/// Before connection tracking (`NF_IP_PRI_RAW`).
const RAW: i32 = -300;
/// After the answer's source has been translated back, which is done at `SRCNAT`.
const AFTER_SRCNAT: i32 = 200;

fn chains() -> Vec<Chain> {
    let base = |kind, hook, priority| {
        Some(Base {
            kind,
            hook,
            priority,
        })
    };
    let chain = |name, base, rules| Chain { name, base, rules };
    vec![
        chain("publish", None, publish()),
        chain("published", None, published()),
        chain(
            "prerouting",
            base(ChainKind::Nat, Hook::Prerouting, AFTER_DSTNAT),
            vec![to_this_host()],
        ),
        chain(
            "output",
            base(ChainKind::Nat, Hook::Output, AFTER_DSTNAT),
            vec![to_this_host()],
        ),
        chain(
            "postrouting",
            base(ChainKind::Nat, Hook::Postrouting, SRCNAT),
            vec![rule(expr::translated(), [expr::jump("published")])],
        ),
        chain(
            "localhost_out",
            base(ChainKind::Filter, Hook::Output, RAW),
            localhost_out(),
        ),
        chain(
            "localhost_in",
            base(ChainKind::Filter, Hook::Input, AFTER_SRCNAT),
            vec![localhost_in_v4(), localhost_in_v6()],
        ),
    ]
}

fn rule(first: impl IntoIterator<Item = Expr>, then: impl IntoIterator<Item = Expr>) -> Rule {
    Rule {
        exprs: first.into_iter().chain(then).collect(),
    }
}

/// `fib daddr type local jump publish`: nothing but this host's own addresses (CVE-2025-67499, CVE-2019-9946).
fn to_this_host() -> Rule {
    rule(expr::to_this_host(), [expr::jump("publish")])
}

/// Slots of an address.
fn slots(six: bool) -> u32 {
    if six { 4 } else { 1 }
}

fn saddr(six: bool) -> Header {
    if six {
        Header::IP6_SADDR
    } else {
        Header::IP_SADDR
    }
}

fn daddr(six: bool) -> Header {
    if six {
        Header::IP6_DADDR
    } else {
        Header::IP_DADDR
    }
}

/// Loads protocol and port, the end of most keys.
fn protocol_and_port(slot: u32) -> [Expr; 2] {
    [
        expr::meta(MetaKey::L4Proto, slot),
        expr::load(Header::DPORT, slot + 1),
    ]
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @publish_addr_v4`, and without the address.
fn publish() -> Vec<Rule> {
    let mut rules = Vec::new();
    for six in [false, true] {
        let len = slots(six);
        let (any, addr) = (of(PUBLISH, six).name, of(PUBLISH_ADDR, six).name);
        let by_addr = [expr::load(daddr(six), 0)]
            .into_iter()
            .chain(protocol_and_port(len))
            .chain([expr::map(addr, 0), expr::dnat(six, 0, len)]);
        rules.push(rule(expr::of_family(six), by_addr));
        let by_port = protocol_and_port(0)
            .into_iter()
            .chain([expr::map(any, 0), expr::dnat(six, 0, len)]);
        rules.push(rule(expr::of_family(six), by_port));
    }
    rules
}

/// `meta l4proto tcp iifname . ip daddr . meta l4proto . ct original proto-dst @hairpin_v4 masquerade`, and without the
/// interface. A rule for each protocol: only beside one does `nft` know what a port is.
fn published() -> Vec<Rule> {
    const IFNAME_SLOTS: u32 = 4;
    let mut rules = Vec::new();
    for six in [false, true] {
        for protocol in Protocol::ALL {
            let of_protocol = || {
                let number = [protocol.number()];
                let protocol = [expr::meta(MetaKey::L4Proto, 0), expr::equal(0, &number)];
                protocol.into_iter().chain(expr::of_family(six))
            };
            let to = |slot: u32| {
                [
                    expr::load(daddr(six), slot),
                    expr::meta(MetaKey::L4Proto, slot + slots(six)),
                    expr::original_port(slot + slots(six) + 1),
                ]
            };
            let hairpin = [expr::meta(MetaKey::Iifname, 0)]
                .into_iter()
                .chain(to(IFNAME_SLOTS))
                .chain([expr::within(of(HAIRPIN, six).name, 0), expr::masquerade()]);
            rules.push(rule(of_protocol(), hairpin));
            let all = to(0)
                .into_iter()
                .chain([expr::within(of(MASQ_ALL, six).name, 0), expr::masquerade()]);
            rules.push(rule(of_protocol(), all));
        }
    }
    rules
}

const LOCALHOST_V4: [u8; 4] = [127, 0, 0, 1];
const LOCALHOST_V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `ip saddr 127.0.0.1 ip saddr set ip daddr . meta l4proto . th dport map @localhost_addr_v4`, and without the address.
fn localhost_out() -> Vec<Rule> {
    let mut rules = Vec::new();
    for six in [false, true] {
        let loopback: &[u8] = if six { &LOCALHOST_V6 } else { &LOCALHOST_V4 };
        let from_loopback = || {
            let from = [expr::load(saddr(six), 0), expr::equal(0, loopback)];
            expr::of_family(six).into_iter().chain(from)
        };
        let by_addr = [expr::load(daddr(six), 0)]
            .into_iter()
            .chain(protocol_and_port(slots(six)))
            .chain([
                expr::map(of(LOCALHOST_ADDR, six).name, 0),
                expr::store(saddr(six), 0),
            ]);
        rules.push(rule(from_loopback(), by_addr));
        let by_port = protocol_and_port(0).into_iter().chain([
            expr::map(of(LOCALHOST, six).name, 0),
            expr::store(saddr(six), 0),
        ]);
        rules.push(rule(from_loopback(), by_port));
    }
    rules
}

/// `ip saddr 127.0.0.0/8 ip daddr != 127.0.0.0/8 ip daddr set 127.0.0.1`
fn localhost_in_v4() -> Rule {
    rule(
        expr::of_family(false),
        [
            expr::load(Header::IP_SADDR.first(1), 0),
            expr::equal(0, &[127]),
            expr::load(Header::IP_DADDR.first(1), 0),
            expr::differ(0, &[127]),
            expr::put(0, &LOCALHOST_V4),
            expr::store(Header::IP_DADDR, 0),
        ],
    )
}

/// `ip6 saddr ::1 ip6 daddr != ::1 ip6 daddr set ::1`
fn localhost_in_v6() -> Rule {
    rule(
        expr::of_family(true),
        [
            expr::load(Header::IP6_SADDR, 0),
            expr::equal(0, &LOCALHOST_V6),
            expr::load(Header::IP6_DADDR, 0),
            expr::differ(0, &LOCALHOST_V6),
            expr::put(0, &LOCALHOST_V6),
            expr::store(Header::IP6_DADDR, 0),
        ],
    )
}

fn of(pair: Pair, six: bool) -> &'static Set {
    if six { pair.v6 } else { pair.v4 }
}

/// The container as the host sees it, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) ip: IpAddr,
    /// How the host reaches it; absent where it does not.
    pub(crate) via: Option<Via>,
}

/// The host's way to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Via {
    /// The interface.
    pub(crate) ifname: String,
    /// The host's own address on that way.
    pub(crate) source: IpAddr,
}

/// What of `snat` and `masqAll` a mapping is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Translate {
    pub(crate) snat: bool,
    pub(crate) masq_all: bool,
}

/// The elements that publish `mapping` at `target`, each with its set; the first one is the mapping itself. None where
/// the mapping is about the other family.
pub(crate) fn elements(
    mapping: &Mapping,
    target: &Target,
    translate: Translate,
) -> Vec<(&'static Set, Element)> {
    let ip = target.ip;
    if !mapping.host_ip.concerns(ip.is_ipv6()) {
        return Vec::new();
    }
    let end = |fields: Fields| {
        fields
            .protocol(mapping.protocol.number())
            .port(mapping.host_port)
    };
    let start =
        |one: Option<IpAddr>| one.map_or_else(Fields::default, |ip| Fields::default().ip(ip));
    let one = mapping.host_ip.one();
    let pair = |any: Pair, addr: Pair| if one.is_some() { addr } else { any }.of(ip);
    let element = |key: Fields, value: Option<Fields>| Element {
        key: end(key),
        value,
        ..Element::default()
    };
    let to = Fields::default().ip(ip).port(mapping.container_port);
    let mut elements = vec![(pair(PUBLISH, PUBLISH_ADDR), element(start(one), Some(to)))];
    if let Some(via) = target.via.as_ref().filter(|_| translate.snat) {
        let from_loopback = one.is_none_or(|ip| ip.is_loopback());
        if from_loopback {
            let source = Fields::default().ip(via.source);
            elements.push((
                pair(LOCALHOST, LOCALHOST_ADDR),
                element(start(one), Some(source)),
            ));
        }
        let hairpin = Fields::default().ifname(&via.ifname).ip(ip);
        elements.push((HAIRPIN.of(ip), element(hairpin, None)));
    }
    if translate.snat && translate.masq_all {
        elements.push((MASQ_ALL.of(ip), element(Fields::default().ip(ip), None)));
    }
    elements
}

/// Reads an element of one of the maps in [`PUBLISHED`]: the mapping, and the container's address.
pub(crate) fn read(element: &Element, by_addr: bool, six: bool) -> Option<(Mapping, IpAddr)> {
    let mut key = element.key.read();
    let host_ip = if by_addr {
        HostIp::One(key.ip(six)?)
    } else {
        HostIp::AnyOf { six }
    };
    let protocol = Protocol::of_number(key.protocol()?)?;
    let host_port = key.port()?;
    let mut value = element.value.as_ref()?.read();
    let ip = value.ip(six)?;
    let mapping = Mapping {
        protocol,
        host_ip,
        host_port,
        container_port: value.port()?,
    };
    Some((mapping, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host_ip: HostIp, translate: Translate) -> Vec<&'static str> {
        let mapping = Mapping {
            protocol: Protocol::Tcp,
            host_ip,
            host_port: 8080,
            container_port: 80,
        };
        let target = Target {
            ip: [10, 1, 0, 5].into(),
            via: Some(Via {
                ifname: "br0".into(),
                source: [10, 1, 0, 1].into(),
            }),
        };
        let elements = elements(&mapping, &target, translate);
        if let Some((set, element)) = elements.first() {
            let (_, by_addr, six) = PUBLISHED.iter().find(|(s, ..)| s == set).unwrap();
            let (read, ip) = read(element, *by_addr, *six).unwrap();
            assert_eq!((read.host_port, read.container_port), (8080, 80));
            assert_eq!(ip, target.ip);
        }
        elements.into_iter().map(|(set, _)| set.name).collect()
    }

    #[test]
    fn each_mapping_gets_what_it_needs_and_no_more() {
        let usual = Translate {
            snat: true,
            masq_all: false,
        };
        let all = ["publish_v4", "localhost_v4", "hairpin_v4"];
        assert_eq!(names(HostIp::Any, usual), all);
        assert_eq!(names(HostIp::AnyOf { six: false }, usual), all);
        assert_eq!(names(HostIp::AnyOf { six: true }, usual), [""; 0]);
        assert_eq!(
            names(HostIp::One([10, 0, 0, 1].into()), usual),
            ["publish_addr_v4", "hairpin_v4"]
        );
        assert_eq!(
            names(HostIp::One([127, 0, 0, 1].into()), usual),
            ["publish_addr_v4", "localhost_addr_v4", "hairpin_v4"]
        );
        let plain = Translate {
            snat: false,
            masq_all: true,
        };
        assert_eq!(names(HostIp::Any, plain), ["publish_v4"]);
        let everybody = Translate {
            snat: true,
            masq_all: true,
        };
        assert_eq!(names(HostIp::Any, everybody).last(), Some(&"masq_all_v4"));
    }
}
