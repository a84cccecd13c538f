//! Checks of subnets against each other and against the host's routes.

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::conf::Conf;
use super::finding::Finding;
use super::node::Node;

/// Ranges of two networks, or of a network and a route of the host, that have addresses in common.
pub(super) fn overlap(node: &Node<'_>, found: &mut Vec<Finding>) {
    let networks: Vec<Conf<'_>> = node.networks().collect();
    for (at, conf) in networks.iter().enumerate() {
        for range in conf.ranges() {
            let others = networks.iter().take(at);
            let ranges =
                others.flat_map(|other| other.ranges().into_iter().map(|one| (other.name(), one)));
            for (other, _) in ranges.filter(|(_, one)| overlaps(one.subnet, range.subnet)) {
                let what = format!("{} overlaps with the network {other}", range.subnet);
                let fault = Finding::fail("subnet-overlap", what).of_network(conf.name());
                found.push(fault.mend("give one of them another subnet"));
            }
            let own = conf.bridge().map(|(name, _)| name);
            for (dst, link) in routes(node).filter(|(dst, _)| overlaps(*dst, range.subnet)) {
                if own == Some(link) {
                    continue;
                }
                let what = format!(
                    "{} overlaps with the host's route to {dst} by {link}",
                    range.subnet
                );
                let fault = Finding::fail("subnet-overlap", what).of_network(conf.name());
                found.push(fault.mend("give the network another subnet"));
            }
        }
    }
}

/// The routes to networks, with their links. Routes to one host are those to pods.
fn routes<'a>(node: &'a Node<'_>) -> impl Iterator<Item = (Cidr, &'a str)> {
    node.routes.iter().filter_map(|route| {
        let (ip, prefix) = route.dst;
        let is_host = prefix == Family::of(ip).host_prefix();
        let dst = Cidr::new(ip, prefix).filter(|_| prefix > 0 && !is_host)?;
        let link = node
            .links
            .iter()
            .find(|link| Some(link.index) == route.oif)?;
        Some((dst, link.name.as_str()))
    })
}

fn overlaps(one: Cidr, other: Cidr) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}
