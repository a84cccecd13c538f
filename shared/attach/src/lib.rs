//! The mechanism that plugins share for attaching a container to the host: policy stays in the plugins.
//!
//! - [`sides`]: the two namespaces of an attachment, each with its own view of the kernel.
//! - [`veth`], [`bridge`], [`addressing`], [`forwarding`], [`sysctl`]: what an ADD does.
//! - [`table`], [`masquerade`]: what is kept in nf_tables; [`owner`]: whose it is.
//! - [`backend`], [`iptables`], [`reference`]: the other packet filter, and what the Go suite keeps there.
//! - [`verify`]: what a CHECK compares. [`obstacles`]: what of the host's own keeps packets from containers.
//! - [`failure`]: where the kernel's errors become the protocol's.

pub mod addressing;
pub mod backend;
pub mod bridge;
pub mod failure;
pub mod forwarding;
pub mod hash;
pub mod iptables;
pub mod masquerade;
pub mod obstacles;
pub mod owner;
mod procfs;
pub mod reference;
pub mod sides;
pub mod sysctl;
pub mod table;
pub mod verify;
pub mod veth;

pub use failure::kernel;
pub use sides::{Side, Sides};
