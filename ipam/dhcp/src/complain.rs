//! The daemon's log.

use std::io;

/// Writes a line to stderr, for the service manager.
pub(crate) fn complain(text: &str) {
    drop(io::Write::write_all(
        &mut io::stderr(),
        format!("{text}\n").as_bytes(),
    ));
}
