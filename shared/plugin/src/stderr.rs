//! Text for people, beside the reply.

use std::io::{self, Write};

/// Writes to stderr; ignores an error, because there is no other channel.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
