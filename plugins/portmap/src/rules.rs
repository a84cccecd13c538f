//! Published ports in our table: rules once for the host, and elements for each port. Pure.
//!
//! - A new connection to an address of this host is looked up by protocol and port, first with the address and then
//!   without, and sent to the container (`publish`). The chains come after those of `dstnat`, so a service of
//!   kube-proxy keeps its ports.
//! - A connection from the container's own network, from the container itself or from its neighbour on the bridge, is
//!   masqueraded. Otherwise the answer would take the direct way, and the client would not recognise it.
//! - A connection from a loopback address can leave the host only with another source, because Linux routes none of
//!   127.0.0.0/8 out of it. `localhost_out` gives each of its packets the host's address towards the container, after
//!   tracking and before translation and routing. The connection is masqueraded where it leaves. An answer comes back
//!   with its destination translated to the loopback address, which is not routable either. So `localhost_back` gives it
//!   the address that it was sent to, until `localhost_in` delivers it. So `route_localnet` stays off, and only the host
//!   itself reaches services on 127.0.0.1, even without these rules (CVE-2020-8558).
//! - Tracking selects these packets, and no other packet is touched: packets of the original direction of a connection
//!   that is new or was sent to a container, and answers of a connection from a loopback address to a container's port. An
//!   answer of a server on 127.0.0.1 to a client whose source port is a published one is neither.
//! - A TCP packet in the middle of a connection that tracking does not know opens none. Such connections were there
//!   before the host began to track, and belong to the host.

use linkspan_filter::table::{LAYOUT, Part, TABLE};
use linkspan_nftables::expr::{self, Direction, Expr, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule};
use linkspan_protocol::family::Family;

use crate::mapping::Protocol;
use crate::sets::{HAIRPIN, LOCALHOST, LOCALHOST_ADDR, PUBLISH, PUBLISH_ADDR, SETS, SOURCES};
use crate::upgrade::convert;

/// Sets and chains of this plugin.
pub(crate) static PART: Part = Part {
    name: "published ports",
    table: TABLE,
    sets: SETS,
    chains,
    convert,
};

/// After the chains of `dstnat` (-100).
const AFTER_DSTNAT: i32 = -95;
/// `NF_IP_PRI_NAT_SRC`
const SRCNAT: i32 = 100;
/// After connection tracking (-200), and before destinations are translated (`NF_IP_PRI_NAT_DST`, -100).
const BEFORE_DSTNAT: i32 = -120;
/// After the answer's source was translated back, at `SRCNAT`.
const AFTER_SRCNAT: i32 = 200;

fn chains() -> Vec<Chain> {
    let base = |kind, hook, priority| {
        Some(Base {
            kind,
            hook,
            priority,
        })
    };
    let chain = |name, base, rules| Chain {
        name,
        base,
        comment: LAYOUT,
        rules,
    };
    let nat = |hook, priority| base(ChainKind::Nat, hook, priority);
    let filter = |hook, priority| base(ChainKind::Filter, hook, priority);
    vec![
        chain("publish", None, publish()),
        chain("published", None, published()),
        chain("localhost", None, localhost()),
        chain("localhost_answer", None, localhost_answer()),
        chain(
            "prerouting",
            nat(Hook::Prerouting, AFTER_DSTNAT),
            vec![rule(expr::to_this_host(), [expr::jump("publish")])],
        ),
        chain(
            "output",
            nat(Hook::Output, AFTER_DSTNAT),
            vec![rule(expr::to_this_host(), [expr::jump("publish")])],
        ),
        chain(
            "postrouting",
            nat(Hook::Postrouting, SRCNAT),
            vec![rule(expr::translated(), [expr::jump("published")])],
        ),
        chain(
            "localhost_out",
            filter(Hook::Output, BEFORE_DSTNAT),
            localhost_out(),
        ),
        chain(
            "localhost_back",
            filter(Hook::Prerouting, AFTER_DSTNAT),
            localhost_back(),
        ),
        chain(
            "localhost_in",
            filter(Hook::Input, AFTER_SRCNAT),
            localhost_in(),
        ),
    ]
}

fn rule(first: impl IntoIterator<Item = Expr>, then: impl IntoIterator<Item = Expr>) -> Rule {
    Rule {
        exprs: first.into_iter().chain(then).collect(),
    }
}

/// Slots of an address.
fn slots(family: Family) -> u32 {
    family.pick(1, 4)
}

fn saddr(family: Family) -> Header {
    family.pick(Header::IP_SADDR, Header::IP6_SADDR)
}

fn daddr(family: Family) -> Header {
    family.pick(Header::IP_DADDR, Header::IP6_DADDR)
}

/// Loads protocol and port, the end of most keys.
fn protocol_and_port(slot: u32) -> [Expr; 2] {
    [
        expr::meta(MetaKey::L4Proto, slot),
        expr::load(Header::DPORT, slot + 1),
    ]
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @publish_addr_v4`, and without the address. Only packets to this
/// host's own addresses come here (CVE-2025-67499, CVE-2019-9946).
fn publish() -> Vec<Rule> {
    let mut rules = vec![rule(expr::midstream(), [expr::leave()])];
    for family in Family::BOTH {
        let len = slots(family);
        let (any, addr) = (
            PUBLISH.of_family(family).name,
            PUBLISH_ADDR.of_family(family).name,
        );
        let by_addr = [expr::load(daddr(family), 0)]
            .into_iter()
            .chain(protocol_and_port(len))
            .chain([expr::map(addr, 0), expr::dnat(family, 0, len)]);
        rules.push(rule(expr::of_family(family), by_addr));
        let by_port = protocol_and_port(0)
            .into_iter()
            .chain([expr::map(any, 0), expr::dnat(family, 0, len)]);
        rules.push(rule(expr::of_family(family), by_port));
    }
    rules
}

/// `meta l4proto tcp`: without it `nft` cannot print a port, so there is a rule for each protocol.
fn of_protocol(number: u8) -> [Expr; 2] {
    [expr::meta(MetaKey::L4Proto, 0), expr::equal(0, &[number])]
}

/// `meta l4proto tcp ip daddr . ip saddr @sources_v4 ip daddr . meta l4proto . ct original proto-dst @hairpin_v4
/// masquerade`, and with `ct original ip saddr 127.0.0.0/8` instead of the first set.
fn published() -> Vec<Rule> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        for protocol in Protocol::ALL {
            let len = slots(family);
            let of_neighbour = vec![
                expr::load(daddr(family), 0),
                expr::load(saddr(family), len),
                expr::within(SOURCES.of_family(family).name, 0),
            ];
            let first = || {
                let of_family = expr::of_family(family);
                of_protocol(protocol.number()).into_iter().chain(of_family)
            };
            for from in [of_neighbour, opened_by_loopback(family)] {
                let then = from
                    .into_iter()
                    .chain([
                        expr::load(daddr(family), 0),
                        expr::meta(MetaKey::L4Proto, len),
                        expr::original_port(len + 1),
                        expr::within(HAIRPIN.of_family(family).name, 0),
                    ])
                    .chain([expr::masquerade()]);
                rules.push(rule(first(), then));
            }
        }
    }
    rules
}

/// The first byte of 127.0.0.0/8.
const LOOPBACK_V4: u8 = 127;
const LOOPBACK_V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `ct original ip saddr 127.0.0.0/8`
fn opened_by_loopback(family: Family) -> Vec<Expr> {
    let source = expr::tracked_source(Direction::Original, family, 0);
    if family == Family::V6 {
        return vec![source, expr::equal(0, &LOOPBACK_V6)];
    }
    vec![
        source,
        expr::mask(0, [0xff, 0, 0, 0]),
        expr::equal(0, &[LOOPBACK_V4, 0, 0, 0]),
    ]
}

/// `ip saddr 127.0.0.0/8`
fn from_loopback(family: Family) -> [Expr; 2] {
    if family == Family::V6 {
        let source = expr::load(Header::IP6_SADDR, 0);
        return [source, expr::equal(0, &LOOPBACK_V6)];
    }
    let source = expr::load(Header::IP_SADDR.first(1), 0);
    [source, expr::equal(0, &[LOOPBACK_V4])]
}

/// Packets of connections from a loopback address to this host that are new, or that were sent to a container.
fn localhost_out() -> Vec<Rule> {
    let stray = expr::undecided().into_iter().chain(expr::midstream());
    let mut rules = vec![rule(stray, [expr::leave()])];
    for family in Family::BOTH {
        let ours = from_loopback(family)
            .into_iter()
            .chain(expr::goes(Direction::Original))
            .chain(expr::translated_or_new())
            .chain(expr::to_this_host());
        let first = expr::of_family(family).into_iter().chain(ours);
        rules.push(rule(first, [expr::jump("localhost")]));
    }
    rules
}

/// `ip saddr set ip daddr . meta l4proto . th dport map @localhost_addr_v4`, and without the address.
fn localhost() -> Vec<Rule> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let by_addr = [expr::load(daddr(family), 0)]
            .into_iter()
            .chain(protocol_and_port(slots(family)))
            .chain([
                expr::map(LOCALHOST_ADDR.of_family(family).name, 0),
                expr::store(saddr(family), 0),
            ]);
        rules.push(rule(expr::of_family(family), by_addr));
        let by_port = protocol_and_port(0).into_iter().chain([
            expr::map(LOCALHOST.of_family(family).name, 0),
            expr::store(saddr(family), 0),
        ]);
        rules.push(rule(expr::of_family(family), by_port));
    }
    rules
}

/// `ct direction reply ct original ip saddr 127.0.0.0/8 jump localhost_answer`
fn localhost_back() -> Vec<Rule> {
    Family::BOTH
        .map(|family| {
            let answer = expr::goes(Direction::Reply)
                .into_iter()
                .chain(opened_by_loopback(family));
            let first = expr::of_family(family).into_iter().chain(answer);
            rule(first, [expr::jump("localhost_answer")])
        })
        .into()
}

/// `meta l4proto tcp ct reply ip saddr . meta l4proto . ct original proto-dst @hairpin_v4 ip daddr set ct reply ip
/// daddr`. An ICMP error about such a packet, from a container's kernel or a router, has no port. It is matched by the
/// container and the address that the container sees instead of the loopback address.
fn localhost_answer() -> Vec<Rule> {
    const ICMP: u8 = 1;
    const ICMPV6: u8 = 58;
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let len = slots(family);
        let container = || expr::tracked_source(Direction::Reply, family, 0);
        let address = |slot| expr::tracked_destination(Direction::Reply, family, slot);
        let mut add = |number, told: Vec<Expr>| {
            let of_family = expr::of_family(family);
            let first = of_protocol(number).into_iter().chain(of_family);
            let restore = [address(0), expr::store(daddr(family), 0)];
            rules.push(rule(first, told.into_iter().chain(restore)));
        };
        for protocol in Protocol::ALL {
            let told = vec![
                container(),
                expr::meta(MetaKey::L4Proto, len),
                expr::original_port(len + 1),
                expr::within(HAIRPIN.of_family(family).name, 0),
            ];
            add(protocol.number(), told);
        }
        let told = vec![
            container(),
            address(len),
            expr::within(SOURCES.of_family(family).name, 0),
        ];
        add(family.pick(ICMP, ICMPV6), told);
    }
    rules
}

/// `ct direction reply ct original ip saddr 127.0.0.0/8 ip daddr != 127.0.0.0/8 ip daddr set ct original ip saddr`
fn localhost_in() -> Vec<Rule> {
    let elsewhere = |family: Family| {
        if family == Family::V6 {
            let destination = expr::load(Header::IP6_DADDR, 0);
            return [destination, expr::differ(0, &LOOPBACK_V6)];
        }
        let destination = expr::load(Header::IP_DADDR.first(1), 0);
        [destination, expr::differ(0, &[LOOPBACK_V4])]
    };
    Family::BOTH
        .map(|family| {
            let answer = expr::goes(Direction::Reply)
                .into_iter()
                .chain(opened_by_loopback(family))
                .chain(elsewhere(family))
                .chain([
                    expr::tracked_source(Direction::Original, family, 0),
                    expr::store(daddr(family), 0),
                ]);
            rule(expr::of_family(family), answer)
        })
        .into()
}
