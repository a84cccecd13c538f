//! Bridges whose ports are kept from each other: the plugin `firewall` says which, and `bridge` isolates a new port of
//! such a bridge before it comes up. So no frame of a neighbour gets there before the policy does.

use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;

use crate::kernel;
use crate::table::{self, TABLE};

/// Such bridges.
pub const PORTS: &Set = &Set::of("firewall_ports", &[Datum::IfName]).expiring();

/// Whether it is one of them.
pub fn is_isolated(bridge: &str) -> Result<bool> {
    let key = Element::of(Fields::default().ifname(bridge));
    let asked = Netfilter::open()
        .and_then(|netfilter| netfilter.look(&[Question::Element(TABLE, PORTS, &key)]));
    match asked {
        Err(err) if table::is_absent(&err) => Ok(false),
        asked => Ok(asked.map_err(kernel)?.first().is_some_and(is_there)),
    }
}

fn is_there(answer: &Answer) -> bool {
    answer.element().is_some_and(|found| found.timeout == 0)
}
