//! Bridges whose members are kept from each other: the plugin `firewall` says which, and `bridge` isolates a new port of
//! such a bridge before the port comes up.

use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;

use crate::kernel;
use crate::table::{self, TABLE};

/// Such bridges, each beside itself: a rule compares where a packet comes from and where it goes.
pub const ISOLATED: &Set =
    &Set::of("firewall_isolated", &[Datum::IfName, Datum::IfName]).expiring();

/// Whether it is one of them.
pub fn is_isolated(bridge: &str) -> Result<bool> {
    let netfilter = match Netfilter::open() {
        Err(err) if table::is_absent(&err) => return Ok(false),
        opened => opened.map_err(kernel)?,
    };
    let key = Element::of(Fields::default().ifname(bridge).ifname(bridge));
    let answers = netfilter.look(&[Question::Element(TABLE, ISOLATED, &key)]);
    let found = match answers {
        Err(err) if table::is_absent(&err) => return Ok(false),
        answers => answers.map_err(kernel)?,
    };
    Ok(found
        .first()
        .is_some_and(|answer| answer.element().is_some()))
}
