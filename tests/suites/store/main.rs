//! The store under all circumstances: full pools, kills, reboots, dead namespaces, other writers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and executes programs itself"
)]

mod collect;
mod cost;
mod crash;
mod dry;
mod edited;
mod errors;
mod heal;
mod lock;
mod model;
mod pool;
mod torture;
