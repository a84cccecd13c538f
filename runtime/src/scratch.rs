//! A directory that is removed with its value.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, TempDir};

use crate::Result;

/// A private directory below the system's temporary one.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new one; `purpose` is a part of its name.
    pub fn new(purpose: &str) -> Result<Self> {
        let made = Builder::new()
            .prefix(&format!("linkspan-{purpose}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir();
        let attempt = format!("create a directory in {}", std::env::temp_dir().display());
        made.map(Self).map_err(|err| {
            crate::io(attempt)(err).hint("name a directory that may be written to with TMPDIR")
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
