//! The address that a range set gave last. The search for the next one begins there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::PLAIN;
use super::error::Error;

/// The address that a range set gave last, and its file.
#[derive(Debug)]
pub(crate) struct Last {
    pub(crate) ip: Option<IpAddr>,
    file: Option<File>,
    path: PathBuf,
}

impl Last {
    /// Reads it for a range set by its place. Where it cannot be read, the search begins at the start.
    pub(crate) fn read(dir: &Path, range_set: usize) -> Self {
        let path = dir.join(format!("last_reserved_ip.{range_set}"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(PLAIN)
            .open(&path)
            .ok();
        let mut text = String::new();
        let read = file
            .as_mut()
            .and_then(|file| file.read_to_string(&mut text).ok());
        let ip = read.and_then(|_| text.trim().parse().ok());
        Self { ip, file, path }
    }

    /// Writes in place, as the Go plugin does. Half a text changes only the order of the addresses. The file is not
    /// emptied first, because some filesystems (ext4) then write it to the disk when it is closed.
    pub(crate) fn remember(self, ip: IpAddr) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(PLAIN);
        let write = |mut file: File| -> io::Result<()> {
            let text = ip.to_string();
            let len = text.len() as u64;
            file.rewind()?;
            file.write_all(text.as_bytes())?;
            match file.metadata()?.len() {
                now if now == len => Ok(()),
                _ => file.set_len(len),
            }
        };
        let file = self.file.map_or_else(|| options.open(&self.path), Ok);
        file.and_then(write).map_err(Error::on("write", &self.path))
    }
}
