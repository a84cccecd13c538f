//! Masquerade of the pods towards the outside, but not towards the other nodes' pods: a part of the suite's table.
//!
//! Kubernetes has no object with the cluster's networks. The parts of the known nodes are the cluster, so no
//! configuration is needed. Adjoining parts are merged into one range, so that thousands of nodes need few elements.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linkspan_filter::masquerade::unless_multicast;
use linkspan_filter::table::{self, LAYOUT, Part, Support, TABLE};
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::expr::{self, Header};
use linkspan_nftables::ruleset::{Base, Chain, Element, Rule, Set};
use linkspan_protocol::addr::number;
use linkspan_protocol::family::{Family, PerFamily};

use crate::error::{Error, Result};

use Datum::{Ipv4, Ipv6};

/// Pairs of source and destination: the node's own pods and any address.
const SOURCES: PerFamily<&Set> = PerFamily {
    v4: &Set::of("cluster_source_v4", &[Ipv4, Ipv4]).of_ranges(),
    v6: &Set::of("cluster_source_v6", &[Ipv6, Ipv6]).of_ranges(),
};

/// Pairs that see each other's addresses: the node's own pods and the cluster's.
const INSIDE: PerFamily<&Set> = PerFamily {
    v4: &Set::of("cluster_inside_v4", &[Ipv4, Ipv4]).of_ranges(),
    v6: &Set::of("cluster_inside_v6", &[Ipv6, Ipv6]).of_ranges(),
};

static PART: Part = Part {
    name: "the cluster's masquerade",
    table: TABLE,
    sets: &[SOURCES.v4, SOURCES.v6, INSIDE.v4, INSIDE.v6],
    chains,
    // The elements are derived from the nodes, and are recreated.
    convert: |_, _| Ok(Vec::new()),
};

fn chains() -> Vec<Chain> {
    vec![Chain {
        name: "cluster_outbound",
        base: Some(Base::SOURCE_NAT),
        comment: LAYOUT,
        rules: Family::BOTH.map(rule).to_vec(),
    }]
}

/// `ip saddr . ip daddr @cluster_source_v4 ip saddr . ip daddr != @cluster_inside_v4 ip daddr != 224.0.0.0/4 masquerade`
fn rule(family: Family) -> Rule {
    let (source, destination, slots) = family.pick(
        (Header::IP_SADDR, Header::IP_DADDR, 1),
        (Header::IP6_SADDR, Header::IP6_DADDR, 4),
    );
    let mut exprs = expr::of_family(family).to_vec();
    exprs.extend([
        expr::load(source, 0),
        expr::load(destination, slots),
        expr::within(SOURCES.of_family(family).name, 0),
        expr::without(INSIDE.of_family(family).name, 0),
    ]);
    exprs.extend(unless_multicast(family));
    exprs.push(expr::masquerade());
    Rule { exprs }
}

/// Makes the table's part equal to the needs of these nodes: pods of `own` are masqueraded, but not towards `others`
/// and not towards each other. Returns whether anything changed.
pub fn keep(own: &[IpNetwork], others: &[IpNetwork]) -> Result<bool> {
    let netfilter = match table::ready(&PART)? {
        Support::Whole(netfilter) => netfilter,
        Support::Lacking(err) => {
            let told = format!("masquerade: this kernel's nf_tables lacks a part: {err}");
            return Err(Error::Settings(told));
        }
        Support::Absent => {
            return Err(Error::Settings(
                "masquerade: this kernel has no nf_tables: load the modules nf_tables, nft_chain_nat and nft_masq".to_owned(),
            ));
        }
    };
    let wanted: Vec<(&Set, Vec<Element>)> = Family::BOTH
        .into_iter()
        .flat_map(|family| wanted(family, own, others))
        .collect();
    let mut changed = false;
    table::transact(&netfilter, || {
        let mut batch = Batch::default();
        for (set, wanted) in &wanted {
            let found = netfilter
                .elements(TABLE, set)
                .map_err(linkspan_filter::kernel)?;
            let (stale, missing) = difference(&found, wanted);
            if !stale.is_empty() {
                batch.delete(TABLE, set, &stale);
            }
            if !missing.is_empty() {
                batch.add(TABLE, set, &missing, false);
            }
        }
        changed = !batch.is_empty();
        Ok(batch)
    })?;
    Ok(changed)
}

/// Elements that are there and should not be, and elements that should be there and are not. Parts that do not adjoin are
/// thousands of elements.
fn difference(found: &[Element], wanted: &[Element]) -> (Vec<Element>, Vec<Element>) {
    let without = |these: &[Element], those: &[Element]| {
        let those: BTreeSet<_> = those.iter().map(range).collect();
        let is_in = |one: &&Element| !those.contains(&range(one));
        these.iter().filter(is_in).cloned().collect()
    };
    (without(found, wanted), without(wanted, found))
}

fn range(element: &Element) -> (&Fields, Option<&Fields>) {
    (&element.key, element.key_end.as_ref())
}

fn wanted(
    family: Family,
    own: &[IpNetwork],
    others: &[IpNetwork],
) -> [(&'static Set, Vec<Element>); 2] {
    let of_family = |all: &[IpNetwork]| {
        let all = all.iter().copied();
        all.filter(|part| Family::of(part.ip()) == family)
            .collect::<Vec<_>>()
    };
    let own = of_family(own);
    let inside = merged([own.clone(), of_family(others)].concat());
    let everybody = (
        family.unspecified(),
        family.pick(IpAddr::from([0xff; 4]), IpAddr::from([0xff; 16])),
    );
    let pairs = |to: &[(IpAddr, IpAddr)]| {
        let pair = |part: &IpNetwork, (first, last): &(IpAddr, IpAddr)| Element {
            key_end: Some(Fields::default().ip(part.broadcast()).ip(*last)),
            ..Element::of(Fields::default().ip(part.network()).ip(*first))
        };
        let of_part = |part| to.iter().map(move |range| pair(part, range));
        own.iter().flat_map(of_part).collect::<Vec<_>>()
    };
    [
        (SOURCES.of_family(family), pairs(&[everybody])),
        (INSIDE.of_family(family), pairs(&inside)),
    ]
}

/// The ranges of one family's networks. Adjoining and overlapping networks are merged.
fn merged(mut networks: Vec<IpNetwork>) -> Vec<(IpAddr, IpAddr)> {
    networks.sort_by_key(|network| (network.network(), network.prefix()));
    let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::new();
    for network in networks {
        let (first, last) = (network.network(), network.broadcast());
        match ranges.last_mut() {
            Some((_, end)) if number(first) <= number(*end).saturating_add(1) => {
                *end = last.max(*end);
            }
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_adjoin_are_one_range() {
        let networks = [
            "10.244.3.0/24",
            "10.244.0.0/24",
            "10.244.1.0/24",
            "10.244.1.128/25",
        ];
        let networks = networks.map(|text| text.parse().unwrap()).to_vec();
        let ranges: Vec<String> = merged(networks)
            .into_iter()
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        assert_eq!(
            ranges,
            ["10.244.0.0-10.244.1.255", "10.244.3.0-10.244.3.255"]
        );
        assert_eq!(merged(Vec::new()), []);
    }
}
