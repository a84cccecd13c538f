//! The agent of a node: it makes one network of a cluster's nodes, out of Kubernetes' own API.
//!
//! - [`cluster`] follows the nodes over [`api`]; [`known`] is what matters of one of them.
//! - [`plan`] says which routes follow, and what is refused. It touches nothing.
//! - [`routes`] makes the kernel's routes equal to the plan; [`ways`] says how a node is reached, and [`tunnel`] is the link
//!   to those that are not near. [`masquerade`] excepts the cluster's pods.
//! - [`list`] is the node's network, which [`judge`] has judged; [`leases`] looks for addresses outside of it.
//! - [`sweep`] detaches what the node's engine does not know any more, and restores what lives: [`attachments`] are those of
//!   the node, [`cri`] the engine's word, in a [`message`]. [`suite`] is the executable that does it.
//! - [`agent`] is the order of these things, [`arguments`] its command line. [`log`], [`events`] and [`health`] tell of it.

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
