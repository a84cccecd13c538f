//! `macvlan`, `ipvlan` and `vlan`: links of a container on a link of the host, or of the container. [`every`] and
//! [`unhappy`] test their common behaviour, and a module for each tests the rest.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod every;
mod ipvlan;
mod macvlan;
mod swap;
mod taken;
mod unhappy;
mod vlan;
mod wire;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
