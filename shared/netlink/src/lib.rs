//! Links, addresses, routes and namespaces of the kernel, over one rtnetlink handle per namespace.
//!
//! A handle always acts on the namespace in which it was opened, and each [`link::Link`] carries its handle. So the
//! value decides where its methods act. Errors name the action and the object.

pub mod addr;
mod aside;
pub mod encap;
pub mod error;
pub mod failure;
mod gateway;
mod group;
pub mod holders;
pub mod link;
pub mod named;
pub mod neighbour;
pub mod netns;
pub mod packet;
mod peer;
mod prompt;
pub mod qdisc;
mod request;
pub mod route;
pub mod routing;
pub mod rtnl;
pub mod rule;
pub mod settings;
pub mod stored;
pub mod tap;
pub mod tc_filter;
pub mod watch;
mod written;

pub use failure::kernel;
