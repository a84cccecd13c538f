//! Published ports in our table: rules once for the host, and elements for each port. Pure.
//!
//! - A new connection to an address of this host is looked up by protocol and port, first with the address and then
//!   without, and sent to the container (`publish`). The chains come after those of `dstnat`, so that a service of
//!   kube-proxy keeps what is its own.
//! - A connection from the container's own network, as from the container itself or from its neighbour on the bridge, is
//!   masqueraded: otherwise the answer would take a shorter way, and the asker would not know it.
//! - A packet from 127.0.0.1 or `::1` can leave the host only with another source, so it is given the address that the
//!   host has towards the container, before it is tracked (`localhost_out`), and the answer is given the loopback
//!   address again, when tracking is done with it (`localhost_in`). So `route_localnet` stays off: nobody else can
//!   reach what listens on 127.0.0.1, whatever becomes of these rules (CVE-2020-8558).

use linkspan_attach::table::{Pair, Part};
use linkspan_nftables::datum::Datum;
use linkspan_nftables::expr::{self, Expr, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule, Set};

use crate::mapping::Protocol;

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

use Datum::{Ipv4, Ipv6, Port, Protocol as Proto};

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
pub(crate) const LOCALHOST: Pair = Pair {
    v4: set!("localhost_v4", [Proto, Port] => [Ipv4]),
    v6: set!("localhost_v6", [Proto, Port] => [Ipv6]),
};

/// The same, to ports on one loopback address.
pub(crate) const LOCALHOST_ADDR: Pair = Pair {
    v4: set!("localhost_addr_v4", [Ipv4, Proto, Port] => [Ipv4]),
    v6: set!("localhost_addr_v6", [Ipv6, Proto, Port] => [Ipv6]),
};

/// Container and port of the host: to be masqueraded for those in [`SOURCES`].
pub(crate) const HAIRPIN: Pair = Pair {
    v4: set!("hairpin_v4", [Ipv4, Proto, Port] => []),
    v6: set!("hairpin_v6", [Ipv6, Proto, Port] => []),
};

/// Container, and the range of addresses that it sees the host instead of: one element for a container, since ranges cost
/// the kernel more than keys.
pub(crate) const SOURCES: Pair = Pair {
    v4: &Set {
        name: "sources_v4",
        key: &[Ipv4, Ipv4],
        value: &[],
        interval: true,
    },
    v6: &Set {
        name: "sources_v6",
        key: &[Ipv6, Ipv6],
        value: &[],
        interval: true,
    },
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
    SOURCES.v4,
    SOURCES.v6,
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

/// `meta l4proto tcp ip daddr . ip saddr @sources_v4 ip daddr . meta l4proto . ct original proto-dst @hairpin_v4
/// masquerade`. A rule for each protocol: only beside one does `nft` know what a port is.
fn published() -> Vec<Rule> {
    let mut rules = Vec::new();
    for six in [false, true] {
        for protocol in Protocol::ALL {
            let number = [protocol.number()];
            let of_protocol = [expr::meta(MetaKey::L4Proto, 0), expr::equal(0, &number)];
            let len = slots(six);
            let then = [
                expr::load(daddr(six), 0),
                expr::load(saddr(six), len),
                expr::within(of(SOURCES, six).name, 0),
                expr::load(daddr(six), 0),
                expr::meta(MetaKey::L4Proto, len),
                expr::original_port(len + 1),
                expr::within(of(HAIRPIN, six).name, 0),
                expr::masquerade(),
            ];
            rules.push(rule(
                of_protocol.into_iter().chain(expr::of_family(six)),
                then,
            ));
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
