//! The rules of an address in the table of iptables, in words for people.

use std::net::IpAddr;

use linkspan_filter::iptables::program;
use linkspan_filter::table::{self, Part};
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::chains::ACCEPTS;
use crate::part::PART;
use crate::place::{self, Extent};

/// The part of our table.
pub fn part() -> &'static Part {
    &PART
}

/// The rules of these addresses, each as `iptables` writes it.
pub fn rules(ips: &[IpAddr]) -> Result<Vec<String>> {
    let netfilter = table::open()?;
    let mut words = Vec::new();
    for family in Family::BOTH {
        let mut chains = Vec::new();
        if let Some(netfilter) = &netfilter {
            chains.push(place::native(netfilter, family, &[ACCEPTS], Extent::All)?);
        }
        if let Some(older) = place::older(family)? {
            chains.push(place::chains(&older, &[ACCEPTS]));
        }
        let rules = chains.iter().flat_map(|found| found.values().flatten());
        let own = rules
            .filter_map(|found| found.rule.as_ref())
            .filter(|rule| {
                let mut ends = [rule.source, rule.destination].into_iter().flatten();
                ends.any(|ip| ips.contains(&ip))
            });
        let program = program(family);
        words.extend(own.map(|rule| format!("{program} {ACCEPTS} {}", rule.text())));
    }
    Ok(words)
}
