//! The directories of plugins.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use linkspan_invoke::split_path;
use linkspan_runtime::Result;
use linkspan_runtime::scratch::Scratch;

/// The usual directory of plugins.
pub(crate) const USUAL: &str = "/opt/cni/bin";

/// The plugins of this very binary, executable by name as long as this lives.
#[derive(Debug)]
pub(crate) struct Bundled(Scratch);

impl Bundled {
    pub(crate) fn link(names: &[&str]) -> Result<Self> {
        let dir = Scratch::new("plugins")?;
        let own = own_executable()?;
        for name in names {
            let link = dir.path().join(name);
            symlink(&own, &link)
                .map_err(linkspan_runtime::io(format!("create {}", link.display())))?;
        }
        Ok(Self(dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn own_executable() -> Result<PathBuf> {
    std::env::current_exe().map_err(linkspan_runtime::io("find the executable of this process"))
}

/// The directories to search, with the value that keeps one of them alive. An explicit list is used as it is. Without
/// one, the usual directory comes first, and this binary has the plugins that it lacks.
pub(crate) fn search(
    explicit: Option<&str>,
    names: &[&str],
) -> Result<(Vec<PathBuf>, Option<Bundled>)> {
    if let Some(dirs) = explicit.filter(|dirs| !dirs.is_empty()) {
        return Ok((split_path(dirs), None));
    }
    let bundled = Bundled::link(names)?;
    let dirs = vec![USUAL.into(), bundled.dir().to_owned()];
    Ok((dirs, Some(bundled)))
}
