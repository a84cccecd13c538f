//! The words of the Container Network Interface, without I/O.
//!
//! - [`command`], [`env`], [`ident`], [`args`]: the environment that a runtime gives to a plugin.
//! - [`json`], [`conf`]: the network configuration on stdin, decoded with the leniency that clients rely on.
//! - [`schema`]: the keys and types of a configuration, learned from the type that decodes it.
//! - [`result`]: the one result type inside the house; [`wire`] speaks every spec version of it.
//! - [`error`]: codes, context and hints, and the error object on stdout.

pub mod addr;
pub mod args;
pub mod command;
pub mod conf;
pub mod env;
pub mod error;
pub mod family;
mod form;
pub mod ident;
pub mod json;
pub mod result;
pub mod schema;
pub mod version;
pub mod wire;
