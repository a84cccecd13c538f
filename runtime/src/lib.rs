//! The bundled runtime. It calls plugins as kubelet's container runtime, podman or `cnitool` do.
//!
//! [`conflist`] and [`confdir`] read network configuration lists, [`inject`] makes the plugins' input of them,
//! [`chain`], [`gc`] and [`restore`] run the plugins, [`cache`] stores results where libcni does. The command lines are
//! another crate.

pub mod attachment;
pub mod cache;
pub mod chain;
pub mod confdir;
pub mod conflist;
pub mod gateways;
pub mod gc;
pub mod holder;
pub mod inject;
pub mod interrupt;
pub mod lives;
mod look;
pub mod probe;
pub mod restore;
pub mod scratch;
pub mod steps;

use linkspan_protocol::error::{ErrorCode, Failure};

pub use linkspan_netlink::kernel;

/// The outcome of an operation.
pub type Result<T> = std::result::Result<T, Failure>;

/// For `map_err` on input and output: the attempt and its object.
pub fn io(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
    move |err| Failure::new(ErrorCode::IO, err.to_string()).context(attempt)
}

/// A failure on one line, as libcni prints it.
pub fn sentence(failure: &Failure) -> String {
    match failure.to_wire().details.as_str() {
        "" => failure.message(),
        details => format!("{}; {details}", failure.message()),
    }
}
