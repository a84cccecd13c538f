//! The end of a run: the count of skipped tests. Runs without the test harness, which hides the output of passed
//! tests.
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
