//! Lines of a test that passes, for whoever reads the run.

use std::io::{self, Write};

/// Says so on stderr itself: what the print macros say in a test that passes is never seen.
pub(crate) fn say(mark: &str, what: &str) {
    // Nobody is left to be told when stderr is closed.
    drop(io::stderr().write_all(format!("{mark}{what}\n").as_bytes()));
}

/// Has said again what another run has said with this mark.
pub(crate) fn repeat(complaint: &str, mark: &str, tell: impl Fn(&str)) {
    let marked = complaint.lines().filter_map(|line| line.split_once(mark));
    marked.for_each(|(_, what)| tell(what));
}
