//! The mechanism that plugins share for attaching a container to the host: policy stays in the plugins.
//!
//! - [`sides`]: the two namespaces of an attachment, each with its own view of the kernel.
//! - [`veth`], [`bridge`], [`addressing`], [`forwarding`], [`sysctl`], [`creation`]: what an ADD does.
//! - [`wishes`], [`allow_list`]: sysctls that a configuration names.
//! - [`verify`]: what a CHECK compares.

pub mod addressing;
pub mod allow_list;
pub mod bridge;
pub mod creation;
pub mod forwarding;
mod procfs;
pub mod sides;
pub mod sysctl;
pub mod verify;
pub mod veth;
pub mod wishes;

pub use linkspan_netlink::kernel;
pub use sides::{Side, Sides};
