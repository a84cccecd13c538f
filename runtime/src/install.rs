//! `linkspan install DIR`: every plugin's name as a hard link to one copy of this binary.
//!
//! Each name changes by rename, so a runtime that executes a plugin meanwhile gets the old file or the new one whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::Result;
use crate::plugins::own_executable;

/// Of everything that is made here, whatever the umask. Never more (CVE-2024-33522).
const MODE: u32 = 0o755;
/// The name of the copy itself.
const COPY: &str = "linkspan";

/// Installs and tells what it did, a line for each name that changed.
pub(crate) fn run(out: &mut dyn Write, dir: &Path, plugins: &[&str]) -> Result<()> {
    make_directory(dir).map_err(crate::io(format!("create {}", dir.display())))?;
    let copy = dir.join(COPY);
    let mut changed = Vec::new();
    let attempt = |path: &Path| crate::io(format!("install {}", path.display()));
    let own = own_executable()?;
    if copy_file(&own, &copy).map_err(attempt(&copy))? {
        changed.push(copy.clone());
    }
    for name in plugins {
        let path = dir.join(name);
        if link(&copy, &path).map_err(attempt(&path))? {
            changed.push(path);
        }
    }
    let told = match changed.as_slice() {
        [] => writeln!(out, "{} is up to date", dir.display()),
        changed => changed
            .iter()
            .try_for_each(|path| writeln!(out, "installed {}", path.display())),
    };
    told.map_err(crate::io("print"))
}

/// Makes what is missing of the way to `dir`, for everybody to read and for us to write.
fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        make_directory(parent)?;
    }
    DirBuilder::new().mode(MODE).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(MODE))
}

/// Whether the copy had to be written.
fn copy_file(own: &Path, copy: &Path) -> io::Result<bool> {
    let own = fs::read(own)?;
    if is_ours(copy) && fs::read(copy).is_ok_and(|there| there == own) {
        return Ok(false);
    }
    replace(copy, |temporary| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(temporary)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(&own)?;
        file.sync_all()
    })?;
    Ok(true)
}

/// Whether the link had to be made.
fn link(copy: &Path, path: &Path) -> io::Result<bool> {
    let id = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    if id(path).is_ok_and(|there| id(copy).is_ok_and(|copy| copy == there)) {
        return Ok(false);
    }
    replace(path, |temporary| fs::hard_link(copy, temporary))?;
    Ok(true)
}

fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path);
    // What a killed install left behind.
    drop(fs::remove_file(&temporary));
    let done = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        drop(fs::remove_file(&temporary));
    } else if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    done
}

/// Hidden, and with a name that no configuration can have as its `type` by accident.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// A file of nobody else, and with the very mode that we give: neither set-user-id nor open to others' writes.
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let mode = meta.mode() & 0o7777;
        meta.is_file() && mode == MODE && meta.uid() == geteuid().as_raw()
    })
}
