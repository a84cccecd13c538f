//! The mechanism that plugins share for attaching a container to the host: policy stays in the plugins.
//!
//! - [`sides`]: the two namespaces of an attachment, each with its own view of the kernel.
//! - [`pair`], [`end`]: the interface, as a veth pair or as one link born in the container. [`creation`]: the parts
//!   common to both; [`tag`]: their owner.
//! - [`bridge`], [`addressing`], [`forwarding`], [`sysctl`]: the other steps of an ADD.
//! - [`routes`]: the routes of an interface, which ADD moves and DEL puts back. [`parking`]: where
//!   deleted ones wait.
//! - [`wishes`], [`allow_list`]: sysctls that a configuration names.
//! - [`verify`]: the comparisons of CHECK.

pub mod addressing;
pub mod allow_list;
pub mod bridge;
pub mod creation;
pub mod end;
pub mod forwarding;
pub mod pair;
pub mod parking;
mod procfs;
pub mod routes;
pub mod sides;
pub mod sysctl;
pub mod tag;
pub mod verify;
pub mod wishes;

pub use linkspan_netlink::kernel;
pub use sides::{Side, Sides};
