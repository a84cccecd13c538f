//! The state in our table: the addresses and bridges of attachments, and the policies of bridges. Pure.
//!
//! - An address has an element for each attachment that has it. Its rules in iptables, and its place in a zone of
//!   firewalld, stay while one of them exists. So a late DEL takes nothing from the address's new owner.
//! - A bridge with a policy has an element for each attachment. The policy goes with the last one.
//! - A packet from a guarded bridge to another guarded one is dropped, and so is one from an isolated bridge to
//!   itself. A drop is final, whichever tables accept the packet. A connection to a published port, with its answers,
//!   is exempt if the bridge of its server allows it.

use linkspan_filter::isolated::PORTS;
use linkspan_filter::table::{LAYOUT, Part, TABLE, elements_of};
use linkspan_nftables::datum::Datum;
use linkspan_nftables::expr::{self, Direction, Expr, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule, Set};
use linkspan_protocol::family::PerFamily;

use Datum::{IfName, Ipv4, Ipv6, Mark};

/// Address and attachment.
pub(crate) const ADDRESSES: PerFamily<&Set> = PerFamily {
    v4: &Set::of("firewall_v4", &[Ipv4, Mark]).expiring(),
    v6: &Set::of("firewall_v6", &[Ipv6, Mark]).expiring(),
};

/// Bridge, attachment and policy.
pub(crate) const MEMBERS: &Set = &Set::of("firewall_members", &[IfName, Mark, Mark]).expiring();

/// Bridges with a policy.
pub(crate) const GUARDED: &Set = &Set::of("firewall_guarded", &[IfName]).expiring();

/// The same bridges, each concatenated with itself: a rule cannot compare two names of a packet.
pub(crate) const WITHIN: &Set = &Set::of("firewall_within", &[IfName, IfName]).expiring();

/// Isolated bridges, each concatenated with itself.
pub(crate) const ISOLATED: &Set = &Set::of("firewall_isolated", &[IfName, IfName]).expiring();

/// Bridges whose published ports stay reachable.
pub(crate) const PUBLISHED: &Set = &Set::of("firewall_published", &[IfName]).expiring();

/// Every set of policies.
pub(crate) const POLICIES: [&Set; 5] = [GUARDED, WITHIN, ISOLATED, PUBLISHED, PORTS];

/// Sets and chains of this plugin.
pub(crate) static PART: Part = Part {
    name: "firewall",
    table: TABLE,
    sets: &[
        ADDRESSES.v4,
        ADDRESSES.v6,
        MEMBERS,
        GUARDED,
        WITHIN,
        ISOLATED,
        PUBLISHED,
        PORTS,
    ],
    chains,
    convert: |_, former| Ok(elements_of(PART.sets, former)),
};

fn chains() -> Vec<Chain> {
    let base = Base {
        kind: ChainKind::Filter,
        hook: Hook::Forward,
        priority: 0,
    };
    vec![Chain {
        name: "firewall",
        base: Some(base),
        comment: LAYOUT,
        rules: rules(),
    }]
}

fn rules() -> Vec<Rule> {
    let of_published = |name: MetaKey, direction: Direction| {
        let mut exprs = vec![expr::meta(name, 0), expr::within(PUBLISHED.name, 0)];
        exprs.extend(expr::translated());
        exprs.extend(expr::goes(direction));
        exprs.push(expr::leave());
        Rule { exprs }
    };
    vec![
        of_published(MetaKey::Oifname, Direction::Original),
        of_published(MetaKey::Iifname, Direction::Reply),
        both(ISOLATED, expr::drop()),
        both(WITHIN, expr::leave()),
        Rule {
            exprs: vec![
                expr::meta(MetaKey::Iifname, 0),
                expr::within(GUARDED.name, 0),
                expr::meta(MetaKey::Oifname, 0),
                expr::within(GUARDED.name, 0),
                expr::drop(),
            ],
        },
    ]
}

/// `iifname . oifname @set`
fn both(set: &Set, verdict: Expr) -> Rule {
    /// Slots of an interface name.
    const LEN: u32 = 4;
    Rule {
        exprs: vec![
            expr::meta(MetaKey::Iifname, 0),
            expr::meta(MetaKey::Oifname, LEN),
            expr::within(set.name, 0),
            verdict,
        ],
    }
}
