//! Checks that a store could serve, without its lock and without a write.

use std::fs::{self, File};
use std::io::{self, ErrorKind::NotFound};
use std::path::Path;

use linkspan_owner::boot::BootId;
use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, eaccess};

use super::error::Error;
use super::index::Index;
use super::{INDEX, is_link, lease, open_beside, open_directory, seal_of};
use crate::span::Span;

/// A store for reading alone.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    dir: &'a Path,
    index: Index,
}

impl<'a> Snapshot<'a> {
    /// An error where it cannot be written or read.
    pub(crate) fn new(dir: &'a Path) -> Result<Self, Error> {
        let boot = BootId::current();
        let existing = dir
            .ancestors()
            .find(|dir| !matches!(fs::symlink_metadata(dir), Err(err) if err.kind() == NotFound));
        let stored = open_directory(dir).and_then(|handle| stored(dir, &handle, boot));
        let stored = match stored {
            Err(err) if is_link(&err) => return Err(Error::on("open", dir)(err)),
            stored => stored,
        };
        writable(existing.unwrap_or(dir))?;
        let index = match stored {
            Ok(Some(index)) => index,
            // A missing or stale index is made from the names.
            _ => lease::names(dir).map(Index::of)?,
        };
        Ok(Self { dir, index })
    }

    /// Whether an address in `spans` is free.
    pub(crate) fn has_room(&mut self, spans: &[Span]) -> Result<bool, Error> {
        let free = |index: &mut Index| -> io::Result<bool> {
            for span in spans {
                if index.first_free(*span)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // An index that is cut short counts as missing.
        if let Ok(found) = free(&mut self.index) {
            return Ok(found);
        }
        self.index = Index::of(lease::names(self.dir)?);
        free(&mut self.index).map_err(Error::on("look into", self.dir))
    }
}

/// The index, where its seal holds.
fn stored(dir: &Path, handle: &File, boot: Option<BootId>) -> io::Result<Option<Index>> {
    let index = Index::load(open_beside(dir, handle, INDEX, OFlag::O_RDONLY)?)?;
    let seal = seal_of(handle, boot);
    Ok(Some(index).filter(|index| index.is_sealed(seal.as_ref())))
}

/// Verifies that a file could be created in `dir`.
fn writable(dir: &Path) -> Result<(), Error> {
    let refuse = |err: io::Error| Error::on("write to", dir)(err);
    let needed = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    eaccess(dir, needed).map_err(|errno| refuse(errno.into()))?;
    let room = statvfs(dir).map_err(|errno| refuse(errno.into()))?;
    // Some filesystems have no limit of files.
    let full = room.blocks_available() == 0 || (room.files() > 0 && room.files_available() == 0);
    if full {
        return Err(refuse(io::ErrorKind::StorageFull.into()));
    }
    Ok(())
}
