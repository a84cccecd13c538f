//! Properties for any input: functions of bytes that panic if a property fails.
//!
//! [`TARGETS`] is their only list. Each has a corpus in `fuzz/corpus`. `tests/short` runs it over changes of the
//! corpus, and cargo-fuzz runs it without end. They execute no programs, do not change the network, and write only
//! into a directory of their own.
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

/// Checks the properties for any bytes; panics if one fails.
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
