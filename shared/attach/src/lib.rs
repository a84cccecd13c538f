//! The mechanism that plugins share for attaching a container to the host: policy stays in the plugins.
//!
//! - [`sides`]: the two namespaces of an attachment, each with its own view of the kernel.
//! - [`pair`], [`end`]: the interface, as a veth pair or as one link born in the container. [`creation`]: the parts
//!   common to both; [`tag`]: their owner.
//! - [`child`]: the part common to macvlan, ipvlan and vlan; [`parent`]: the link below them; [`siblings`]: the other
//!   links on it; [`conflict`]: other stations with its addresses.
//! - [`bridge`], [`addressing`], [`forwarding`], [`sysctl`]: the other steps of an ADD.
//! - [`routes`]: the routes of an interface, which ADD moves and DEL puts back. [`parking`]: where
//!   deleted ones wait.
//! - [`port_pair`]: the host's own interface in a VLAN of a bridge.
//! - [`wishes`], [`allow_list`]: sysctls that a configuration names. [`mac`]: the address that is asked for.
//! - [`device`], [`tuned`]: the identity of a device that a container borrows from the host, and the settings of a
//!   link.
//! - [`verify`]: the comparisons of CHECK.

pub mod addressing;
pub mod allow_list;
pub mod bridge;
pub mod child;
pub mod conflict;
pub mod creation;
pub mod device;
pub mod end;
pub mod forwarding;
pub mod mac;
pub mod pair;
pub mod parent;
pub mod parking;
pub mod port_pair;
mod procfs;
pub mod routes;
pub mod siblings;
pub mod sides;
pub mod sysctl;
pub mod tag;
pub mod tuned;
pub mod verify;
pub mod wishes;

pub use linkspan_netlink::kernel;
pub use sides::{Side, Sides};
