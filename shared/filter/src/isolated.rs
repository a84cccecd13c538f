//! Bridges with isolated ports. The plugin `firewall` names them, and `bridge` isolates a new port before the port
//! comes up. So no frame of a neighbour gets there before the policy does.

use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;

use crate::kernel;
use crate::table::{self, TABLE};

/// The names of these bridges.
pub const PORTS: &Set = &Set::of("firewall_ports", &[Datum::IfName]).expiring();

/// Returns whether the bridge is one of them.
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
