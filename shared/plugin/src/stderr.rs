//! Text for people, beside the reply.

use std::io::{self, Write};

/// Tells a person of a likely mistake that does not make the call fail.
pub fn warn(text: &str) {
    complain(&format!("{text}\n"));
}

/// Writes to stderr. It ignores an error, because nothing else reaches a person.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
