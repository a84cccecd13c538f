//! The relevant properties of a node.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Node;

/// A node. Nodes with equal values need the same routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its parts of the cluster's addresses.
    pub parts: Vec<IpNetwork>,
    /// Its own addresses, in the order of the API.
    pub addresses: Vec<IpAddr>,
    /// Identifies the registration, among nodes of the same name at other times.
    pub uid: String,
    /// Whether a condition says that its network is not available.
    pub unavailable: bool,
}

impl Known {
    /// Decodes an object. Invalid addresses count as absent: the API server has validated them.
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let several = spec.and_then(|spec| spec.pod_cidrs.clone());
        let one = spec.and_then(|spec| spec.pod_cidr.clone());
        let parts = several.unwrap_or_else(|| one.into_iter().collect());
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_ref());
        let internal = addresses.into_iter().flatten();
        let internal = internal.filter(|address| address.type_ == "InternalIP");
        let conditions = status.and_then(|status| status.conditions.as_ref());
        Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            parts: parts.iter().filter_map(|part| part.parse().ok()).collect(),
            addresses: internal
                .filter_map(|address| address.address.parse().ok())
                .collect(),
            unavailable: conditions.into_iter().flatten().any(|condition| {
                condition.type_ == "NetworkUnavailable" && condition.status != "False"
            }),
        }
    }
}
