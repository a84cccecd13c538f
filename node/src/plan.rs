//! The routes that follow from the nodes, and the refused nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linkspan_protocol::family::Family;

use crate::known::Known;

/// The routes of one node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The addresses of each part's node; those of the part's own family come first.
    pub routes: BTreeMap<IpNetwork, Vec<IpAddr>>,
    /// A line for each node without a route, with the reason.
    pub refused: Vec<String>,
    /// The reason why this node's own parts are unusable for pods.
    pub unusable: Option<String>,
}

/// Plans the routes of the node `own`.
///
/// A part that overlaps another node's, or a network of this host, gets no route: its traffic would go astray. The
/// same holds for a part behind an address that two nodes have.
pub fn plan(own: &str, nodes: &BTreeMap<String, Known>, taken: &[IpNetwork]) -> Plan {
    let mut plan = Plan::default();
    let shared = addresses_of_several(nodes);
    let overlapping = overlapping_parts(nodes);
    for (name, node) in nodes.iter().filter(|(name, _)| *name != own) {
        for part in &node.parts {
            let host = taken.iter().find(|network| overlap(**network, *part));
            let hops = hops(node, *part, &shared);
            let refusal = match host {
                _ if overlapping.contains(part) => "another node's part overlaps it".to_owned(),
                Some(network) => format!("it overlaps this host's {network}"),
                None if hops.is_empty() => no_hop(node),
                None => {
                    plan.routes.insert(*part, hops);
                    continue;
                }
            };
            plan.refused
                .push(format!("no route to {part} of node {name}: {refusal}"));
        }
    }
    plan.unusable = nodes
        .get(own)
        .and_then(|node| unusable(node, &overlapping, taken));
    plan
}

/// The addresses through which a part can be reached. A tunnel may be of the other family.
fn hops(node: &Known, part: IpNetwork, shared: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let own = node.addresses.iter().copied();
    let mut hops: Vec<IpAddr> = own.filter(|ip| !shared.contains(ip)).collect();
    hops.sort_by_key(|ip| Family::of(*ip) != Family::of(part.ip()));
    hops
}

fn no_hop(node: &Known) -> String {
    match node.addresses.first() {
        Some(ip) => format!("another node has the address {ip}, too"),
        None => "the node has no InternalIP".to_owned(),
    }
}

fn unusable(
    node: &Known,
    overlapping: &BTreeSet<IpNetwork>,
    taken: &[IpNetwork],
) -> Option<String> {
    node.parts.iter().find_map(|part| {
        if overlapping.contains(part) {
            return Some(format!("this node's part {part} overlaps another node's"));
        }
        let network = taken.iter().find(|network| overlap(**network, *part))?;
        Some(format!(
            "this node's part {part} overlaps the host's own {network}"
        ))
    })
}

fn addresses_of_several(nodes: &BTreeMap<String, Known>) -> BTreeSet<IpAddr> {
    let mut once = BTreeSet::new();
    let all = nodes.values().flat_map(|node| {
        let own: BTreeSet<IpAddr> = node.addresses.iter().copied().collect();
        own
    });
    all.filter(|ip| !once.insert(*ip)).collect()
}

/// Finds overlaps in the order of first addresses: a network that begins before the end of an earlier one overlaps it.
fn overlapping_parts(nodes: &BTreeMap<String, Known>) -> BTreeSet<IpNetwork> {
    let mut parts: Vec<IpNetwork> = nodes.values().flat_map(|node| node.parts.clone()).collect();
    parts.sort_by_key(|part| (part.network(), part.prefix()));
    let mut found = BTreeSet::new();
    let mut widest: Option<IpNetwork> = None;
    for part in parts {
        match widest {
            Some(wide) if overlap(wide, part) => found.extend([wide, part]),
            _ => widest = Some(part),
        }
    }
    found
}

/// Returns whether two networks share addresses.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parts: &[&str], addresses: &[&str]) -> Known {
        Known {
            parts: parts.iter().map(|part| part.parse().unwrap()).collect(),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..Known::default()
        }
    }

    fn planned(nodes: &[(&str, Known)], taken: &[&str]) -> (Vec<String>, Vec<String>) {
        let nodes = nodes
            .iter()
            .map(|(name, node)| ((*name).to_owned(), node.clone()));
        let taken: Vec<IpNetwork> = taken.iter().map(|net| net.parse().unwrap()).collect();
        let plan = plan("a", &nodes.collect(), &taken);
        let routes = plan.routes.iter().map(|(part, hops)| {
            let hops: Vec<String> = hops.iter().map(ToString::to_string).collect();
            format!("{part} {}", hops.join(" "))
        });
        (routes.collect(), plan.refused)
    }

    #[test]
    fn each_part_of_another_node_goes_by_its_addresses_that_family_first() {
        let nodes = [
            ("a", node(&["10.244.0.0/24"], &["192.0.2.1"])),
            (
                "b",
                node(&["10.244.1.0/24", "fd44:1::/64"], &["fd00::2", "192.0.2.2"]),
            ),
        ];
        let expected = [
            "10.244.1.0/24 192.0.2.2 fd00::2",
            "fd44:1::/64 fd00::2 192.0.2.2",
        ];
        let (routes, refused) = planned(&nodes, &[]);
        assert_eq!(routes, expected);
        assert!(refused.is_empty(), "{refused:?}");
    }

    #[test]
    fn a_part_that_would_lead_astray_gets_no_route() {
        let own = ("a", node(&["10.244.0.0/24"], &["192.0.2.1"]));
        let cases = [
            (
                node(&["10.244.0.128/25"], &["192.0.2.2"]),
                "another node's part",
            ),
            (node(&["10.244.1.0/24"], &["192.0.2.1"]), "192.0.2.1, too"),
            (node(&["fd44::/64"], &[]), "no InternalIP"),
            (
                node(&["198.51.0.0/16"], &["192.0.2.2"]),
                "this host's 198.51.100.0/24",
            ),
        ];
        for (other, why) in cases {
            let (routes, refused) = planned(&[own.clone(), ("b", other)], &["198.51.100.0/24"]);
            assert!(routes.is_empty(), "{routes:?}");
            assert!(refused[0].contains(why), "{refused:?}");
        }
    }

    #[test]
    fn a_node_whose_own_part_is_taken_is_told() {
        let own = |part: &str| BTreeMap::from([("a".to_owned(), node(&[part], &["192.0.2.1"]))]);
        let taken = ["10.0.0.0/8".parse().unwrap()];
        let told = plan("a", &own("10.244.0.0/24"), &taken).unusable.unwrap();
        assert!(told.contains("the host's own 10.0.0.0/8"), "{told}");
        assert_eq!(plan("a", &own("fd44::/64"), &taken).unusable, None);
    }
}
