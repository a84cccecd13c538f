//! Paths of the system's programs.

use std::path::{Path, PathBuf};

/// The directories of `PATH`, each `bin` with its `sbin`, which an ordinary user's `PATH` may lack. For tests, a
/// program in none of them is not installed.
pub(crate) fn path() -> String {
    let given = std::env::var("PATH").unwrap_or_default();
    let mut dirs: Vec<String> = given.split(':').map(str::to_owned).collect();
    for dir in given.split(':') {
        let beside = dir
            .strip_suffix("/bin")
            .map(|above| format!("{above}/sbin"));
        dirs.extend(beside.filter(|beside| !given.split(':').any(|dir| dir == beside)));
    }
    dirs.join(":")
}

/// The file for a program's name.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let files = path();
    let mut files = files.split(':').map(|dir| Path::new(dir).join(name));
    files.find(|file| file.is_file())
}
