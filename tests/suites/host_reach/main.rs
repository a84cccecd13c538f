//! `host-reach`: the host and the containers of macvlan and ipvlan reach each other, in both families. One link and one
//! route for each container, which nobody shares with others; DEL and GC from any state; and what bystanders notice.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bystander;
mod crowd;
mod networks;
mod owned;
mod reach;
mod refused;
mod stage;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
