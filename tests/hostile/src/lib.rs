//! What no input may do: functions of bytes that panic where it did.
//!
//! [`TARGETS`] is the only list of them. Each has a corpus in `fuzz/corpus`, is run over changes of it by `tests/short`,
//! and without end by cargo-fuzz. None of them executes anything, changes the network, or writes outside of a
//! directory of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold is a panic"
)]

mod config;
mod dhcp;
mod environment;
mod leases;
mod lists;
mod netfilter;
mod reply;
mod results;
mod rtnetlink;
mod scratch;

/// What must hold for any bytes; it panics where it does not.
pub type Target = fn(&[u8]);

/// Every target under its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("config", config::target),
    ("dhcp", dhcp::target),
    ("environment", environment::target),
    ("leases", leases::target),
    ("lists", lists::target),
    ("netfilter", netfilter::target),
    ("results", results::target),
    ("rtnetlink", rtnetlink::target),
];

/// The target of that name.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.expect("a target of that name").1
}
