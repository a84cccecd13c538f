//! The masquerade part of our table: sets of zones, and the chain that uses them. Pure.
//!
//! The ingress and the source select a packet, so two networks with the same subnet stay apart. A network's bridge is
//! matched by name. Host ends of ptp have random names, but share a link group
//! ([`linkspan_owner::Owner::network_group`]). Both are readable at postrouting (`iifname` and `iifgroup` in a NAT
//! chain, seen on Linux 5.10, 6.1, 6.12, 6.18, 7.2).

use linkspan_nftables::datum::Datum;
use linkspan_nftables::expr::{self, Expr, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, Rule, Set};
use linkspan_protocol::family::{Family, PerFamily};

use crate::masquerade::upgrade::convert;
use crate::table::{LAYOUT, Part, TABLE};

use Datum::{Group, IfName, Ipv4, Ipv6};

/// The sets of one kind of ingress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets {
    /// Packets to masquerade: ingress, and range of the source.
    pub(super) sources: PerFamily<&'static Set>,
    /// Exceptions: ingress, range of the source, range of the destination.
    pub(super) except: PerFamily<&'static Set>,
}

macro_rules! ranges {
    ($name:literal, $key:expr) => {
        &Set::of($name, &$key).of_ranges().expiring()
    };
}

/// Sets for ingresses with a name.
pub(super) const NAMED: Sets = Sets {
    sources: PerFamily {
        v4: ranges!("masq_v4", [IfName, Ipv4]),
        v6: ranges!("masq_v6", [IfName, Ipv6]),
    },
    except: PerFamily {
        v4: ranges!("masq_except_v4", [IfName, Ipv4, Ipv4]),
        v6: ranges!("masq_except_v6", [IfName, Ipv6, Ipv6]),
    },
};

/// Sets for ingresses that are a group of links.
pub(super) const GROUPED: Sets = Sets {
    sources: PerFamily {
        v4: ranges!("masq_group_v4", [Group, Ipv4]),
        v6: ranges!("masq_group_v6", [Group, Ipv6]),
    },
    except: PerFamily {
        v4: ranges!("masq_group_except_v4", [Group, Ipv4, Ipv4]),
        v6: ranges!("masq_group_except_v6", [Group, Ipv6, Ipv6]),
    },
};

/// Sets and chain of masquerade.
pub(super) static PART: Part = Part {
    name: "masquerade",
    table: TABLE,
    sets: &[
        NAMED.sources.v4,
        NAMED.sources.v6,
        NAMED.except.v4,
        NAMED.except.v6,
        GROUPED.sources.v4,
        GROUPED.sources.v6,
        GROUPED.except.v4,
        GROUPED.except.v6,
    ],
    chains,
    convert,
};

fn chains() -> Vec<Chain> {
    let kinds = [NAMED, GROUPED].map(|sets| Family::BOTH.map(|family| rule(sets, family)));
    vec![Chain {
        name: "outbound",
        base: Some(Base::SOURCE_NAT),
        comment: LAYOUT,
        rules: kinds.into_iter().flatten().collect(),
    }]
}

/// `iifname` or `iifgroup`, and its number of slots.
fn ingress(sets: Sets) -> (Vec<Expr>, u32) {
    if sets.sources.v4 == NAMED.sources.v4 {
        return (vec![expr::meta(MetaKey::Iifname, 0)], 4);
    }
    let group = expr::meta(MetaKey::Iifgroup, 0);
    (vec![group, expr::network_order(0)], 1)
}

/// `iifname . ip saddr @masq_v4 ip daddr != 224.0.0.0/4 iifname . ip saddr . ip daddr != @masq_except_v4 masquerade`
fn rule(sets: Sets, family: Family) -> Rule {
    let (ingress, at) = ingress(sets);
    let (source, destination, len) = family.pick(
        (Header::IP_SADDR, Header::IP_DADDR, 1),
        (Header::IP6_SADDR, Header::IP6_DADDR, 4),
    );
    let mut exprs = expr::of_family(family).to_vec();
    exprs.extend_from_slice(&ingress);
    exprs.extend([
        expr::load(source, at),
        expr::within(sets.sources.of_family(family).name, 0),
    ]);
    exprs.extend(unless_multicast(family));
    exprs.extend_from_slice(&ingress);
    exprs.extend([
        expr::load(source, at),
        expr::load(destination, at + len),
        expr::without(sets.except.of_family(family).name, 0),
        expr::masquerade(),
    ]);
    Rule { exprs }
}

/// Continues unless the packet goes to many: `ip daddr != 224.0.0.0/4` or `ip6 daddr != ff00::/8`.
pub fn unless_multicast(family: Family) -> Vec<Expr> {
    if family == Family::V6 {
        return vec![
            expr::load(Header::IP6_DADDR.first(1), 0),
            expr::differ(0, &[0xff]),
        ];
    }
    vec![
        expr::load(Header::IP_DADDR, 0),
        expr::mask(0, [0xf0, 0, 0, 0]),
        expr::differ(0, &[224, 0, 0, 0]),
    ]
}
