//! State of attachments in the packet filter.
//!
//! - [`table`]: our tables; [`masquerade`]: `ipMasq`, in the table of packets; [`spoof`]: `macspoofchk`, in that of frames.
//! - [`backend`], [`iptables`], [`go_suite`]: the iptables backend, and the state of the Go suite.
//! - [`isolated`]: bridges whose ports are kept from each other.
//! - [`obstacles`]: foreign packet filters that drop containers' packets.

pub mod backend;
pub mod go_suite;
pub mod iptables;
pub mod isolated;
pub mod masquerade;
pub mod obstacles;
pub mod spoof;
pub mod table;

pub use linkspan_netlink::kernel;
