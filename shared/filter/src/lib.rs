//! What attachments have in the packet filter.
//!
//! - [`table`]: the one table that is ours; [`masquerade`]: `ipMasq`, in it.
//! - [`backend`], [`iptables`], [`go_suite`]: the other packet filter, and what the Go suite keeps there.
//! - [`obstacles`]: packet filters of others that keep packets from containers.

pub mod backend;
pub mod go_suite;
pub mod iptables;
pub mod masquerade;
pub mod obstacles;
pub mod table;

pub use linkspan_netlink::kernel;
