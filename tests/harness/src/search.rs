//! Where programs of the system are.

use std::path::{Path, PathBuf};

/// The directories of `PATH`, and beside each `bin` its `sbin`, which an ordinary user's `PATH` may lack. A program that is
/// in none of them is not installed as far as tests go.
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

/// The file that is executed by this name.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let files = path();
    let mut files = files.split(':').map(|dir| Path::new(dir).join(name));
    files.find(|file| file.is_file())
}
