//! Text for people, beside the reply.

use std::io::{self, Write};

/// Writes to stderr; nobody is left to be told when that is closed.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
