//! Lines of a passed test, for readers of the run.

use std::io::{self, Write};

/// Prints to stderr directly: the print macros' output in a passed test is never shown.
pub(crate) fn say(mark: &str, what: &str) {
    // If stderr is closed, there are no readers.
    drop(io::stderr().write_all(format!("{mark}{what}\n").as_bytes()));
}

/// Repeats the lines with this mark from another run's output.
pub(crate) fn repeat(complaint: &str, mark: &str, tell: impl Fn(&str)) {
    let marked = complaint.lines().filter_map(|line| line.split_once(mark));
    marked.for_each(|(_, what)| tell(what));
}
