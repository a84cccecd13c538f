//! Leases in files, one per attachment, beside the daemon's socket: `/run/cni/dhcp.leases` for `/run/cni/dhcp.sock`.
//!
//! A file is written as a draft and renamed, so a killed process leaves the old file. Neither files nor namespaces
//! outlive the boot.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use linkspan_owner::boot::{BootId, is_past};
use linkspan_owner::{file, hash};
use nix::libc::O_NOFOLLOW;

use crate::identity::Names;
use crate::record::Record;
use crate::trouble::Trouble;

const SUFFIX: &str = "lease";
const LOCK: &str = ".lock";
/// Maximum size of a file: a message of 64 KiB in hexadecimal digits, and reserve.
const MAX: u64 = 256 * 1024;

/// The directory of the leases.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store of the daemon that listens at `socket`.
    pub(crate) fn beside(socket: &Path) -> Self {
        Self {
            dir: socket.with_extension("leases"),
        }
    }

    /// Creates the directory, and locks out other daemons while the file is open.
    pub(crate) fn claim(&self) -> io::Result<File> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.custom_flags(O_NOFOLLOW).open(self.dir.join(LOCK))?;
        lock.try_lock().map_err(|_held| {
            let told = format!("another daemon has the leases in {}", self.dir.display());
            io::Error::new(ErrorKind::AddrInUse, told)
        })?;
        Ok(lock)
    }

    fn path(&self, names: &Names) -> PathBuf {
        let digest = hash::hex(&names.key());
        let digest = digest.get(..32).unwrap_or_default();
        self.dir.join(format!("{digest}.{SUFFIX}"))
    }

    /// Writes a lease for the daemon, and returns a failure in the words for the plugin.
    pub(crate) fn remember(&self, record: &Record) -> Result<(), Trouble> {
        self.write(record).map_err(|err| {
            let key = record.names.key();
            Trouble::Kernel(format!("remember the lease of {key}: {err}"))
        })
    }

    /// Writes the record, replacing an older one.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.names);
        let text = record.text(BootId::current());
        file::write(&path, &path.with_extension("draft"), text.as_bytes())
    }

    /// The record of an attachment, if it is of this boot.
    pub(crate) fn read(&self, names: &Names) -> Option<Record> {
        let record = read(&self.path(names), BootId::current())?;
        (record.names == *names).then_some(record)
    }

    /// Returns whether a record exists.
    pub(crate) fn has(&self, names: &Names) -> bool {
        self.path(names).exists()
    }

    /// Deletes the record, if it exists.
    pub(crate) fn forget(&self, names: &Names) -> io::Result<()> {
        file::remove(&self.path(names))
    }

    /// Every record of this boot. Deletes invalid, outdated and unfinished files.
    pub(crate) fn all(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let boot = BootId::current();
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            match path.extension().and_then(|suffix| suffix.to_str()) {
                Some(SUFFIX) => match read(&path, boot) {
                    Some(record) => records.push(record),
                    None => file::remove(&path)?,
                },
                Some("draft") => file::remove(&path)?,
                _ => {}
            }
        }
        Ok(records)
    }
}

fn read(path: &Path, boot: Option<BootId>) -> Option<Record> {
    let text = String::from_utf8(file::read(path, MAX).ok()??).ok()?;
    let (then, record) = Record::parse(&text)?;
    (!is_past(then, boot)).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn leases_are_found_again_and_what_is_none_goes() {
        let dir = std::env::temp_dir().join(format!("linkspan-dhcp-{}", std::process::id()));
        let store = Store::beside(&dir.join("dhcp.sock"));
        assert_eq!(store.dir, dir.join("dhcp.leases"));
        assert!(store.all().unwrap().is_empty());
        let lock = store.claim().unwrap();
        assert!(store.claim().is_err());
        drop(lock);
        let _lock = store.claim().unwrap();
        for name in ["a", "b", "a"] {
            store.write(&sample(name, 60)).unwrap();
        }
        fs::write(store.dir.join("x.lease"), "nothing").unwrap();
        fs::write(store.dir.join("x.draft"), "nothing").unwrap();
        assert_eq!(store.all().unwrap().len(), 2);
        let names = sample("a", 60).names;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&store.dir), mode(&store.path(&names))),
            (0o700, 0o600)
        );
        assert_eq!(store.read(&names), Some(sample("a", 60)));
        store.forget(&names).unwrap();
        store.forget(&names).unwrap();
        assert!(!store.has(&names) && store.read(&names).is_none());
        assert_eq!(fs::read_dir(&store.dir).unwrap().count(), 2);
        fs::remove_dir_all(&dir).unwrap();
    }
}
