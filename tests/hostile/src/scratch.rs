//! A directory of one thread's own, which goes with the thread.

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

/// Runs `body` with the thread's directory, which is empty at first, and again afterwards.
pub(crate) fn within<T>(body: impl FnOnce(&Path) -> T) -> T {
    SCRATCH.with(|Scratch(dir)| {
        let done = body(dir);
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // One that failed before may have left anything.
            fs::remove_dir_all(&path)
                .or_else(|_no_directory| fs::remove_file(&path))
                .unwrap();
        }
        done
    })
}
