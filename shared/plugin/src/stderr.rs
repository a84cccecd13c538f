//! Text for people, beside the reply.

use std::io::{self, Write};

/// Writes to stderr. It ignores an error, because nothing else reaches a person.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
