//! Telling what a test run did not prove.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Says so on stderr itself: what the print macros say in a test that passes is never seen.
pub fn tell(what: &str) {
    // Nobody is left to be told when stderr is closed.
    drop(io::stderr().write_all(format!("SKIPPED {what}\n").as_bytes()));
}

/// Where a tool of the system is; none where it is not installed, which is told.
pub fn without(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"]
        .map(|dir| Path::new(dir).join(name))
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        tell(&format!("what needs {name}: it is not installed"));
    }
    found
}
