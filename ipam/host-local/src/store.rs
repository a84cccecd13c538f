//! The leases on disk, in the files and under the lock of the Go plugin, so that the two can be swapped.
//!
//! `<dir>/<address>` holds the container id, CR LF and the interface name, without a final newline; older plugins
//! wrote the container id alone. `<dir>/last_reserved_ip.<n>` holds the address that range set `n` gave last.
//! `<dir>/lock` is locked with flock(2) as long as a [`Store`] lives.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use linkspan_protocol::error::Explain;
use linkspan_protocol::ident::AttachmentId;

/// An operation on a file that failed.
#[derive(Debug)]
pub(crate) struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    /// For `map_err`.
    pub(crate) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.action,
            self.path.display(),
            self.source
        )
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Explain for Error {
    fn hint(&self) -> Option<String> {
        let hint = match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                "run as root, or set ipam.dataDir to a directory you may write"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "set ipam.dataDir to a directory on a writable filesystem"
            }
            io::ErrorKind::StorageFull => "free some space on the filesystem of ipam.dataDir",
            io::ErrorKind::NotADirectory => "ipam.dataDir must be a directory",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Who holds an address.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) container_id: String,
    ifname: String,
}

impl Owner {
    pub(crate) fn of(attachment: &AttachmentId) -> Self {
        Self {
            container_id: attachment.container_id.as_str().to_owned(),
            ifname: attachment.ifname.as_str().to_owned(),
        }
    }

    fn content(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.ifname)
    }
}

/// One network's leases, locked.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the store and makes what is missing.
    pub(crate) fn create(dir: &Path) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(dir)
            .map_err(Error::on("create directory", dir))?;
        Self::lock(dir)
    }

    /// Opens the store if there is one.
    pub(crate) fn existing(dir: &Path) -> Result<Option<Self>, Error> {
        match fs::metadata(dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(Error::on("open", dir)(err)),
            Ok(_) => Self::lock(dir).map(Some),
        }
    }

    fn lock(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("lock");
        // Opened for reading as the Go plugin does; the standard library creates files only when it may write.
        let open = |create: bool| {
            let mut options = OpenOptions::new();
            options.read(true).write(create).create(create).mode(0o750);
            options.open(&path)
        };
        let lock = match open(false) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => open(true),
            opened => opened,
        };
        let lock = lock.map_err(Error::on("open", &path))?;
        lock.lock().map_err(Error::on("lock", &path))?;
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that a lease of `ip` is.
    pub(crate) fn lease(&self, ip: IpAddr) -> PathBuf {
        self.dir.join(ip.to_string())
    }

    /// Every address that is given.
    pub(crate) fn leases(&self) -> Result<Vec<IpAddr>, Error> {
        let broken = |err| Error::on("read directory", &self.dir)(err);
        let mut leases = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(broken)? {
            let name = entry.map_err(broken)?.file_name();
            leases.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
        }
        Ok(leases)
    }

    /// The addresses that `owner` holds; those that name only its container count where no other does.
    pub(crate) fn owned(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let (mut exact, mut legacy) = (Vec::new(), Vec::new());
        for ip in self.leases()? {
            let path = self.lease(ip);
            let content = match fs::read(&path) {
                // Removed by hand meanwhile; removal by a plugin waits for our lock.
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                content => content.map_err(Error::on("read", &path))?,
            };
            let content = String::from_utf8_lossy(&content);
            match content.trim() {
                text if text == owner.content() => exact.push(ip),
                text if text == owner.container_id => legacy.push(ip),
                _ => {}
            }
        }
        Ok(if exact.is_empty() { legacy } else { exact })
    }

    /// Gives `ip` to `owner`; false where somebody holds it.
    pub(crate) fn reserve(&self, ip: IpAddr, owner: &Owner) -> Result<bool, Error> {
        let path = self.lease(ip);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match file {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            file => file.map_err(Error::on("create", &path))?,
        };
        if let Err(err) = file.write_all(owner.content().as_bytes()) {
            remove(&path)?;
            return Err(Error::on("write", &path)(err));
        }
        Ok(true)
    }

    /// Takes back every address of `owner`.
    pub(crate) fn release(&self, owner: &Owner) -> Result<(), Error> {
        for ip in self.owned(owner)? {
            remove(&self.lease(ip))?;
        }
        Ok(())
    }

    fn last_path(&self, range_set: usize) -> PathBuf {
        self.dir.join(format!("last_reserved_ip.{range_set}"))
    }

    /// The address given last; where that cannot be read, the search begins at the start.
    pub(crate) fn last(&self, range_set: usize) -> Option<IpAddr> {
        let text = fs::read_to_string(self.last_path(range_set)).ok()?;
        text.trim().parse().ok()
    }

    pub(crate) fn remember_last(&self, range_set: usize, ip: IpAddr) -> Result<(), Error> {
        let path = self.last_path(range_set);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(ip.to_string().as_bytes()))
            .map_err(Error::on("write", &path))
    }
}

/// Removes a lease; one that is gone is fine.
pub(crate) fn remove(lease: &Path) -> Result<(), Error> {
    match fs::remove_file(lease) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::on("remove", lease)),
    }
}
