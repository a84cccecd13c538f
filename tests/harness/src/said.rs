//! Lines of a test that passes, for whoever reads the run.

use std::io::{self, Write};

/// Says so on stderr itself: what the print macros say in a test that passes is never seen.
pub(crate) fn say(mark: &str, what: &str) {
    // Nobody is left to be told when stderr is closed.
    drop(io::stderr().write_all(format!("{mark}{what}\n").as_bytes()));
}

/// Says again what another run has said with one of these marks.
pub(crate) fn repeat(complaint: &str, marks: &[&str]) {
    for line in complaint.lines() {
        for mark in marks {
            if let Some((_, what)) = line.split_once(mark) {
                say(mark, what);
            }
        }
    }
}
