//! A directory for one thread, removed with the thread.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

/// The directory.
pub(crate) struct Scratch(PathBuf);

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

impl Scratch {
    fn new() -> Self {
        Self(mkdtemp(&std::env::temp_dir().join("linkspan-hostile-XXXXXX")).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs `body` with the thread's directory, which is empty before and after.
pub(crate) fn within<T>(body: impl FnOnce(&Path) -> T) -> T {
    SCRATCH.with(|Scratch(dir)| {
        let done = body(dir);
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // An earlier failure may have left files.
            fs::remove_dir_all(&path)
                .or_else(|_no_directory| fs::remove_file(&path))
                .unwrap();
        }
        done
    })
}
