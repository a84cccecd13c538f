//! The judgement of a list before engines see it, by the suite's own `linkspan validate`.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::suite;

/// Judges a list under its future name. The error has the list's faults.
pub fn judge(linkspan: &Path, path: &Path, list: &str) -> Result<()> {
    let dir = tempfile::tempdir().map_err(Error::file(&std::env::temp_dir()))?;
    let name = path.file_name().unwrap_or_default();
    let draft = dir.path().join(name);
    std::fs::write(&draft, list).map_err(Error::file(&draft))?;
    let told = suite::run(linkspan, &[OsStr::new("validate"), draft.as_os_str()])?;
    if told.status.success() {
        return Ok(());
    }
    let words = [told.stdout, told.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let words = words.replace(&draft.display().to_string(), "it");
    let words: Vec<&str> = words.lines().map(str::trim).collect();
    Err(Error::Settings(format!(
        "the list is not good, and is not written: {}",
        words.join("; ")
    )))
}
