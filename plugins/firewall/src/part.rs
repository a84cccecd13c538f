//! The part of our table that is this plugin's: its sets, and the rules that look into them.

use linkspan_filter::isolated::PORTS;
use linkspan_filter::table::{Part, TABLE, elements_of};
use linkspan_nftables::expr::{self, Direction, Expr, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule, Set};

use crate::held;
use crate::sets::{ADDRESSES, GUARDED, HOLDERS, ISOLATED, MEMBERS, PUBLISHED, WITHIN};

/// The layout of this part, which has more sets than those of the others.
const LAYOUT: &str = "layout 3";

/// Sets and chains of this plugin.
pub(crate) static PART: Part = Part {
    name: "firewall",
    table: TABLE,
    sets: &[
        ADDRESSES.v4,
        ADDRESSES.v6,
        HOLDERS.v4,
        HOLDERS.v6,
        MEMBERS,
        GUARDED,
        WITHIN,
        ISOLATED,
        PUBLISHED,
        PORTS,
    ],
    chains,
    convert: |netfilter, former| {
        let mut elements = elements_of(PART.sets, former);
        elements.extend(held::holders(netfilter)?);
        Ok(elements)
    },
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
    /// Slots of a name.
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
