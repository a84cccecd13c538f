//! The agent of a node: it connects a cluster's nodes to one network, using only Kubernetes' own API.
//!
//! - [`cluster`] follows the nodes over [`api`]; [`known`] has the relevant properties of a node.
//! - [`plan`] derives routes and refusals, without side effects.
//! - [`routes`] makes the kernel's routes equal to the plan. [`ways`] finds the path to a node, and [`tunnel`] is the
//!   link to remote ones. [`masquerade`] exempts the cluster's pods.
//! - [`list`] is the node's network, judged by [`judge`]; [`leases`] looks for addresses outside of it.
//! - [`sweep`] detaches attachments whose sandboxes the engine does not know, and restores living ones:
//!   [`attachments`] are those of the node, [`cri`] asks the engine, in a [`message`]. [`suite`] executes `linkspan`.
//! - [`agent`] orders these steps, [`arguments`] is its command line. [`log`], [`events`] and [`health`] report.

pub mod agent;
pub mod api;
pub mod arguments;
pub mod attachments;
pub mod cluster;
pub mod cri;
pub mod error;
pub mod events;
pub mod health;
pub mod judge;
pub mod known;
pub mod leases;
pub mod list;
pub mod log;
pub mod masquerade;
pub mod message;
pub mod plan;
pub mod routes;
pub mod suite;
pub mod sweep;
pub mod tunnel;
pub mod ways;
