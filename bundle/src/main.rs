//! The `linkspan` binary: under a plugin's file name it is that plugin.

use std::path::PathBuf;
use std::process::ExitCode;

use linkspan_plugin::{Entry, process};
use linkspan_protocol::error::{ErrorCode, Failure};

/// Every plugin of the suite; a test compares it with the folders `plugins` and `ipam`.
const ENTRIES: &[&Entry] = &[
    &linkspan_bridge::ENTRY,
    &linkspan_host_local::ENTRY,
    &linkspan_loopback::ENTRY,
];

fn main() -> ExitCode {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let name = called.file_name().unwrap_or_default().to_string_lossy();
    match ENTRIES.iter().find(|entry| entry.names.contains(&&*name)) {
        Some(entry) => process::run(entry),
        None => process::fail(&not_a_plugin(&name)),
    }
}

fn not_a_plugin(name: &str) -> Failure {
    let names: Vec<&str> = ENTRIES
        .iter()
        .flat_map(|entry| entry.names)
        .copied()
        .collect();
    Failure::new(
        ErrorCode::INTERNAL,
        format!("{name:?} is no plugin of this binary"),
    )
    .hint(format!("name the file as one of: {}", names.join(", ")))
}
