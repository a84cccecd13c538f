//! `dhcp` as a runtime drives it: plugin, daemon and servers on a segment in namespaces.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and executes the programs under test"
)]

mod chain;
mod faults;
mod lease;
mod others;
mod plugin;
mod scale;
mod segment;
mod server;
mod six;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
