//! The bundled runtime: what kubelet's container runtime, podman or `cnitool` do around plugins.
//!
//! [`conflist`] and [`confdir`] read network configuration lists, [`inject`] makes of them what a plugin reads,
//! [`chain`] and [`gc`] run the plugins, [`cache`] remembers results where libcni does. [`cli`] is the command line.

pub mod attachment;
pub mod cache;
pub mod chain;
pub mod cli;
pub mod cnitool;
mod columns;
pub mod confdir;
pub mod conflist;
mod demo;
mod gateways;
pub mod gc;
pub mod holder;
mod inject;
mod install;
pub mod interrupt;
mod list;
mod listeners;
mod lives;
pub mod outside;
mod pause;
mod plugins;
pub mod ports;
pub mod probe;
mod publish;
mod restore;
mod run;
mod scratch;
pub mod traffic;
mod validate;
pub mod warnings;
mod wishes;

use linkspan_protocol::error::{ErrorCode, Failure};

/// What an operation comes to.
pub type Result<T> = std::result::Result<T, Failure>;

/// A refusal of the kernel.
fn kernel(error: linkspan_netlink::error::Error) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(ErrorCode::INTERNAL, error.to_string());
    let failure = match error.kernel_says {
        Some(said) => failure.detail(said),
        None => failure,
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// For `map_err` on input and output: what was attempted, on what.
fn io(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
    move |err| Failure::new(ErrorCode::IO, err.to_string()).context(attempt)
}

/// A failure on one line, as libcni prints it.
fn sentence(failure: &Failure) -> String {
    match failure.to_wire().details.as_str() {
        "" => failure.message(),
        details => format!("{}; {details}", failure.message()),
    }
}
