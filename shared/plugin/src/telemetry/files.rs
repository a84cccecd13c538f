//! The directory of the switch, and the file that spans are appended to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

const SPANS: &str = "spans.jsonl";
/// The name of the file before this one.
const FORMER: &str = "spans.jsonl.1";
/// A file of this size gives way to a new one: the directory is often in memory.
const LIMIT: u64 = 16 << 20;
/// A group may read: that of a directory that hands its group on.
const MODE: u32 = 0o640;

/// Appends a line by one write, so that lines of several processes never mix.
pub(super) fn append(dir: &Path, line: &str) -> io::Result<()> {
    let path = dir.join(SPANS);
    let mut file = in_directory(dir, || open(&path))?;
    if file.metadata()?.len() >= LIMIT {
        fs::rename(&path, dir.join(FORMER))?;
        file = open(&path)?;
    }
    file.write_all(line.as_bytes())
}

/// Opens a file by `open`, and makes the directory where it is missing.
pub(super) fn in_directory(dir: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(err) if err.kind() == ErrorKind::NotFound => {
            let made = DirBuilder::new().mode(0o750).create(dir);
            match made {
                Err(err) if err.kind() != ErrorKind::AlreadyExists => Err(err),
                _ => open(),
            }
        }
        opened => opened,
    }
}

/// A link in the place of a file is not followed.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(MODE)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    options
}

fn open(path: &Path) -> io::Result<File> {
    options().append(true).create(true).open(path)
}
