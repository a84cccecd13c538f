//! A laboratory for the suites: throw-away network namespaces, real plugin executables, real packets.
//!
//! Nothing here waits a fixed time, needs more than a user namespace, or mounts outside of a mount namespace of its own.
//! Nothing is left behind: a namespace lives as long as a file descriptor of the test, a directory as long as its
//! [`lab::Lab`].
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a harness fails by panicking, executes the programs under test and tells what it skips"
)]

pub mod call;
mod cgroup;
pub mod chain;
pub mod conf;
pub mod cost;
pub mod dice;
pub mod ear;
pub mod fault;
pub mod figure;
pub mod forks;
pub mod frame;
pub mod grpc;
mod image;
pub mod kept;
pub mod kind;
pub mod lab;
pub mod machine;
pub mod manifest;
pub mod nic;
pub mod node;
pub mod pod;
pub mod podman;
pub mod recorder;
pub mod requests;
mod said;
mod sandbox;
mod search;
pub mod server;
pub mod several;
pub mod skip;
pub mod snapshot;
pub mod table;
pub mod thorough;
pub mod tool;
pub mod traffic;
pub mod trial;
pub mod tun;
pub mod wait;
pub mod world;
