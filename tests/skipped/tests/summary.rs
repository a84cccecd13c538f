//! The end of a run: what it has not proved. It runs without the test harness, which shows nothing of tests that pass.
#![expect(
    clippy::disallowed_methods,
    reason = "it is its own main, and is asked for a list of its tests by an argument"
)]

use std::io::{self, Write};

fn main() -> io::Result<()> {
    if std::env::args().any(|arg| arg == "--list") {
        return Ok(());
    }
    io::stderr().write_all(skipped::count()?.as_bytes())
}
