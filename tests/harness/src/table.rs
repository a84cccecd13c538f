//! The content of nf_tables, read as the plugins read it, without `nft`.

use std::fmt::Write;

use linkspan_filter::table::{TABLE, owner};
use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set, Table};
use linkspan_nftables::survey::FoundSet;
use linkspan_protocol::family::Family;

use crate::lab::Lab;

/// A connection to the host's netfilter.
pub fn netfilter(lab: &Lab) -> Netfilter {
    lab.host().scope(Netfilter::open).unwrap().unwrap()
}

/// The elements of attachments in our table, as sorted lines: `SET: KEY[ - LAST KEY][ -> VALUE] of OWNER`.
pub fn elements(lab: &Lab) -> Vec<String> {
    elements_in(lab, TABLE)
}

/// The same for one table.
pub fn elements_in(lab: &Lab, table: Table) -> Vec<String> {
    listed(lab, table, true)
}

/// The elements of our table that attachments share.
pub fn shared(lab: &Lab) -> Vec<String> {
    listed(lab, TABLE, false)
}

fn listed(lab: &Lab, table: Table, owned: bool) -> Vec<String> {
    let netfilter = netfilter(lab);
    let mut lines = Vec::new();
    for set in netfilter.sets(table).unwrap() {
        // Names of sets are constants of the product; this one lasts as long as the test.
        let wanted = Set::of(set.name.clone().leak(), &[]);
        let mut elements = netfilter.elements(table, &wanted).unwrap();
        elements.retain(|element| owner(element).is_some() == owned);
        lines.extend(elements.iter().map(|element| line(&set, element)));
    }
    lines.sort();
    lines
}

/// The whole content of the host's nf_tables, as lines that differ by everything except counters.
pub fn everything(lab: &Lab) -> Vec<String> {
    netfilter(lab).everything().unwrap()
}

fn line(set: &FoundSet, element: &Element) -> String {
    let mut line = format!("{}: {}", set.name, text(set.key.as_deref(), &element.key));
    if let Some(last) = &element.key_end {
        write!(line, " - {}", text(set.key.as_deref(), last)).unwrap();
    }
    if let Some(value) = &element.value {
        write!(line, " -> {}", text(set.value.as_deref(), value)).unwrap();
    }
    format!("{line} of {}", element.comment)
}

/// The fields as `nft` prints them; all bytes if their types are unknown.
fn text(types: Option<&[Datum]>, fields: &Fields) -> String {
    let mut read = fields.read();
    let each = types.unwrap_or_default().iter().map(|datum| match datum {
        Datum::Ipv4 => read.ip(Family::V4).map(|ip| ip.to_string()),
        Datum::Ipv6 => read.ip(Family::V6).map(|ip| ip.to_string()),
        Datum::Protocol => read.protocol().map(protocol),
        Datum::Port => read.port().map(|port| port.to_string()),
        Datum::IfName => read.ifname(),
        Datum::Mark => read.mark().map(|mark| mark.to_string()),
        Datum::Group => read.group().map(|group| format!("{group:#x}")),
        Datum::Ether => read.ether().map(|mac| mac.to_string()),
    });
    let told: Option<Vec<String>> = each.collect();
    match told {
        Some(told) if !told.is_empty() => told.join(" . "),
        _ => format!("{:02x?}", fields.bytes()),
    }
}

fn protocol(number: u8) -> String {
    match number {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}
