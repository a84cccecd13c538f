//! Checks of subnets against each other and against the host's routes.

use super::finding::Finding;
use super::node::Node;
use crate::addressing::{Conf, HostRoute, overlaps};

/// Ranges of two networks, or of a network and a route of the host, that share addresses.
pub(super) fn overlap(node: &Node<'_>, found: &mut Vec<Finding>) {
    let networks: Vec<Conf<'_>> = node.networks().collect();
    let routes = HostRoute::of(&node.routes, &node.links);
    for (at, conf) in networks.iter().enumerate() {
        let earlier = networks.get(..at).unwrap_or_default();
        for one in overlaps(*conf, earlier, &routes) {
            let fault = Finding::fail("subnet-overlap", one.what).of_network(conf.name());
            found.push(fault.mend(one.mend));
        }
    }
}
