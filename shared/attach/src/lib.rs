//! The mechanism that plugins share for attaching a container to the host: policy stays in the plugins.
//!
//! - [`sides`]: the two namespaces of an attachment, each with its own view of the kernel.
//! - [`pair`], [`end`]: the interface, by a pair with an end on the host, or born in the container alone. [`creation`]: what
//!   they share; [`tag`]: whose they are.
//! - [`bridge`], [`addressing`], [`forwarding`], [`sysctl`]: what else an ADD does.
//! - [`wishes`], [`allow_list`]: sysctls that a configuration names.
//! - [`verify`]: what a CHECK compares.

pub mod addressing;
pub mod allow_list;
pub mod bridge;
pub mod creation;
pub mod end;
pub mod forwarding;
pub mod pair;
mod procfs;
pub mod sides;
pub mod sysctl;
pub mod tag;
pub mod verify;
pub mod wishes;

pub use linkspan_netlink::kernel;
pub use sides::{Side, Sides};
