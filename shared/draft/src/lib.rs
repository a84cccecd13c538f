//! Files that are replaced by rename, so that nobody reads a half of one, and the drafts that killed processes left.
//! Several processes may write into a directory at once.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, TempPath};

/// The prefix of files that are being written. It hides them, and is neither a plugin's type nor a configuration to a
/// container engine.
const DRAFT: &str = ".linkspan-draft-";

/// The part of a file that is written at once.
const PIECE: usize = 1 << 20;

/// Hears how many bytes of how many are written.
pub type Tell<'a> = &'a mut dyn FnMut(usize, usize);

/// Makes a file of this content and mode, whatever is there, and removes the drafts that others left beside it.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    sweep(directory_of(path));
    put(path, content, mode, &mut |_, _| {})
}

/// The same for a large file, whose progress is told. The caller removes what others left.
pub fn put(path: &Path, content: &[u8], mode: u32, tell: Tell<'_>) -> io::Result<()> {
    let dir = directory_of(path);
    loop {
        match draft(dir, content, mode, tell)?.persist(path) {
            // Another process removed the draft between our last look and the rename.
            Err(err) if err.error.kind() == io::ErrorKind::NotFound => {}
            renamed => {
                renamed?;
                return File::open(dir)?.sync_all();
            }
        }
    }
}

/// A whole file under a name of its own. It is closed before the rename, because an open one could not be executed.
fn draft(dir: &Path, content: &[u8], mode: u32, tell: Tell<'_>) -> io::Result<TempPath> {
    let mut file = Builder::new().prefix(DRAFT).tempfile_in(dir)?;
    // The lock marks the draft as in use. On a filesystem without locks drafts are never removed.
    drop(file.as_file().lock());
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    let mut written = 0;
    for piece in content.chunks(PIECE) {
        tell(written, content.len());
        file.write_all(piece)?;
        written += piece.len();
        if written < content.len() {
            // Otherwise a slow disk would have all of it to do at the end.
            file.as_file().sync_data()?;
        }
    }
    tell(written, content.len());
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Removes the drafts that killed processes left: those without a lock.
pub fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_draft = name.as_encoded_bytes().starts_with(DRAFT.as_bytes());
        let is_unlocked = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_draft && is_unlocked() {
            // One that cannot be removed stays, and does no harm.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The directory that has the file.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_of_killed_processes_go_and_those_in_use_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let names = [
            ".linkspan-draft-left",
            ".linkspan-draft-used",
            ".linkspan-x.conflist",
            "draft",
        ];
        for name in names {
            fs::write(path(name), "{").unwrap();
        }
        let used = File::open(path(".linkspan-draft-used")).unwrap();
        used.lock().unwrap();
        replace(&path("10-linkspan.conflist"), b"{}", 0o600).unwrap();
        let there = names.map(|name| path(name).exists());
        assert_eq!(there, [false, true, true, true]);
        let text = fs::read(path("10-linkspan.conflist")).unwrap();
        assert_eq!(text, b"{}");
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 4);
    }
}
