//! The agent of a node: it makes one network of a cluster's nodes, out of Kubernetes' own API.
//!
//! - [`cluster`] follows the nodes; [`known`] is what matters of one of them.
//! - [`plan`] says which routes follow, and what is refused. It touches nothing.
//! - [`routes`] makes the kernel's routes equal to the plan; [`list`] writes the node's network.
//! - [`agent`] is the order of these things.

pub mod agent;
pub mod api;
pub mod cluster;
pub mod error;
pub mod known;
pub mod list;
pub mod plan;
pub mod routes;
