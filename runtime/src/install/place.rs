//! Putting files in place, each by rename and only where it is not there already.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Makes what is missing of the way to `dir`, with this mode whatever the umask.
pub(super) fn directory(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        directory(parent, mode)?;
    }
    DirBuilder::new().mode(mode).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))
}

/// A file of this content and mode; whether it had to be written.
pub(super) fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    if is_ours(path, mode) && fs::read(path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    replace(path, |temporary| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(temporary)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()
    })?;
    Ok(true)
}

/// Another name of `file`; whether the link had to be made.
pub(super) fn link(file: &Path, path: &Path) -> io::Result<bool> {
    let id = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    if id(path).is_ok_and(|there| id(file).is_ok_and(|file| file == there)) {
        return Ok(false);
    }
    replace(path, |temporary| fs::hard_link(file, temporary))?;
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

/// Hidden, and with a name that no configuration can have as its `type` by accident, and no container engine takes for
/// a configuration.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// A file of nobody else, and with the very mode that we give: neither set-user-id nor open to others.
fn is_ours(path: &Path, mode: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let has_mode = meta.mode() & 0o7777 == mode;
        meta.is_file() && has_mode && meta.uid() == geteuid().as_raw()
    })
}
