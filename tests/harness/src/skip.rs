//! Telling what a test run did not prove.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::said::say;

/// How a line of what was skipped begins.
pub(crate) const MARK: &str = "SKIPPED ";

/// Says what was skipped.
pub fn tell(what: &str) {
    say(MARK, what);
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
