//! Puts files in place, each by rename and only where it is missing or differs. Several processes may do so at once.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::geteuid;
use tempfile::{Builder, TempPath};

/// The prefix of files that are being written. It hides them, and is neither a plugin's type nor a configuration to a
/// container engine.
const DRAFT: &str = ".linkspan-draft-";
/// The prefix of links before their rename.
const LINK: &str = ".linkspan-link-";

/// Makes the missing directories of the path `dir`, with this mode whatever the umask.
pub(super) fn directory(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        directory(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        // Another process was faster.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made.and_then(|()| fs::set_permissions(dir, Permissions::from_mode(mode))),
    }
}

/// Makes a file of this content and mode. Returns whether it had to be written.
pub(super) fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    if is_ours(path, mode) && fs::read(path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    let dir = directory_of(path);
    sweep(dir);
    loop {
        match draft(dir, content, mode)?.persist(path) {
            // Another process removed the draft between our last look and the rename.
            Err(err) if err.error.kind() == io::ErrorKind::NotFound => {}
            renamed => {
                renamed?;
                File::open(dir)?.sync_all()?;
                return Ok(true);
            }
        }
    }
}

/// Makes another name of `file`. Returns whether the link had to be made.
pub(super) fn link(file: &Path, path: &Path) -> io::Result<bool> {
    let id = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let is_in_place = || id(path).is_ok_and(|there| id(file).is_ok_and(|file| file == there));
    let dir = directory_of(path);
    let mut made = false;
    // Another process may put a copy of its own under `file` before the rename. Then it needs this link as well.
    while !is_in_place() {
        let new = Builder::new()
            .prefix(LINK)
            .make_in(dir, |temporary| fs::hard_link(file, temporary));
        let new = match new {
            // link(2) found the copy that was replaced before it got its second name.
            Err(err) if err.kind() == io::ErrorKind::NotFound && file.exists() => continue,
            new => new?.into_temp_path(),
        };
        let temporary = new.to_path_buf();
        new.persist(path)?;
        // Where another process has made the same link meanwhile, rename(2) leaves both names.
        drop(fs::remove_file(temporary));
        made = true;
    }
    if made {
        File::open(dir)?.sync_all()?;
    }
    Ok(made)
}

/// A whole file under a name of its own. It is closed before the rename, because an open one could not be executed.
fn draft(dir: &Path, content: &[u8], mode: u32) -> io::Result<TempPath> {
    let mut file = Builder::new().prefix(DRAFT).tempfile_in(dir)?;
    // The lock marks the draft as in use. On a filesystem without locks drafts are never removed.
    drop(file.as_file().lock());
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Removes the drafts of killed processes: those without a lock.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_draft = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DRAFT.as_bytes());
        let is_left = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_draft && is_left() {
            // A draft that cannot be removed stays, and does no harm.
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

/// Whether the file is ours and has exactly our mode: neither set-user-id nor writable for others.
fn is_ours(path: &Path, mode: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let has_mode = meta.mode() & 0o7777 == mode;
        meta.is_file() && has_mode && meta.uid() == geteuid().as_raw()
    })
}
