//! The daemon's words for its service manager.

use std::io;

/// Writes a line to stderr, where the service manager keeps it.
pub(crate) fn complain(text: &str) {
    drop(io::Write::write_all(
        &mut io::stderr(),
        format!("{text}\n").as_bytes(),
    ));
}
