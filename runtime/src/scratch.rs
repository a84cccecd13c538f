//! A directory that goes with its owner.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

use crate::Result;

/// A private directory below the system's temporary one.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let template = std::env::temp_dir().join(format!("linkspan-{purpose}-XXXXXX"));
        mkdtemp(&template).map(Self).map_err(|errno| {
            crate::io(format!("create {}", template.display()))(errno.into())
                .hint("name a directory that may be written to with TMPDIR")
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to be told; the name says what it was for.
        drop(fs::remove_dir_all(&self.0));
    }
}
