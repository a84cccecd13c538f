//! Telling what a test run did not prove.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Whether strace is there and may trace; told where it is not.
pub fn can_trace(test: &str) -> bool {
    let mut probe = Command::new("strace");
    probe
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null());
    let works = probe.status().is_ok_and(|status| status.success());
    if !works {
        tell(&format!(
            "{test}: strace is not there, or may not trace (apt install strace)"
        ));
    }
    works
}
