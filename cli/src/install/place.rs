//! Puts files in place, each by rename and only where it is missing or differs. Several processes may do so at once.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use linkspan_draft::{Tell, directory_of, put};
use nix::unistd::geteuid;
use tempfile::Builder;

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
pub(super) fn file(path: &Path, content: &[u8], mode: u32, tell: Tell<'_>) -> io::Result<bool> {
    if has(path, content, mode) {
        return Ok(false);
    }
    sweep(directory_of(path));
    put(path, content, mode, tell)?;
    Ok(true)
}

/// Whether the file is there with this content and mode.
pub(super) fn has(path: &Path, content: &[u8], mode: u32) -> bool {
    is_ours(path, mode) && fs::read(path).is_ok_and(|there| there == content)
}

/// Whether `path` is another name of `file`.
pub(super) fn is_link_of(file: &Path, path: &Path) -> bool {
    let id = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    id(path).is_ok_and(|there| id(file).is_ok_and(|file| file == there))
}

/// Makes another name of `file`. Returns whether the link had to be made.
pub(super) fn link(file: &Path, path: &Path) -> io::Result<bool> {
    let is_in_place = || is_link_of(file, path);
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
        match new.persist(path) {
            // Another process took the link for one that was left.
            Err(err) if err.error.kind() == io::ErrorKind::NotFound => continue,
            renamed => renamed?,
        }
        // Where another process has made the same link meanwhile, rename(2) leaves both names.
        drop(fs::remove_file(temporary));
        made = true;
    }
    if made {
        File::open(dir)?.sync_all()?;
    }
    Ok(made)
}

/// Removes what killed processes left: drafts, and links before their rename. A process that makes such a link at this
/// moment makes it again.
pub(super) fn sweep(dir: &Path) {
    linkspan_draft::sweep(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(LINK.as_bytes()) {
            // One that cannot be removed stays, and does no harm.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether the file is ours and has exactly our mode: neither set-user-id nor writable for others.
fn is_ours(path: &Path, mode: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let has_mode = meta.mode() & 0o7777 == mode;
        meta.is_file() && has_mode && meta.uid() == geteuid().as_raw()
    })
}
