//! Published ports and masquerade, with packets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod beside;
mod flows;
mod foreign;
mod former;
mod legacy;
mod listed;
mod localnet;
mod others;
mod ownership;
mod packets;
mod ruleset;
mod swap;
mod upgrade;

use linkspan_harness::pod::{Pod, both, mapping};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
