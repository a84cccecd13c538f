//! The leases on disk, in the files and under the lock of the Go plugin, so that the two can be swapped.
//!
//! `<dir>/<address>` holds the container id, CR LF and the interface name, without a final newline; older plugins
//! wrote the container id alone. `<dir>/last_reserved_ip.<n>` holds the address that range set `n` gave last.
//! `<dir>/lock` is locked with flock(2) as long as a [`Store`] lives.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind::{AlreadyExists, IsADirectory, NotFound};
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
    fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
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

/// The leases of one owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Those that name container and interface.
    exact: Vec<IpAddr>,
    /// Those of an older plugin, which name the container alone.
    legacy: Vec<IpAddr>,
}

impl Held {
    pub(crate) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.exact.iter().chain(&self.legacy).copied()
    }

    /// A container that has leases of its own form keeps the older ones: they may be another interface's.
    fn releasable(self) -> Vec<IpAddr> {
        if self.exact.is_empty() {
            self.legacy
        } else {
            self.exact
        }
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
            Err(err) if err.kind() == NotFound => Ok(None),
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
            Err(err) if err.kind() == NotFound => open(true),
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

    /// The leases of `owner`.
    pub(crate) fn held(&self, owner: &Owner) -> Result<Held, Error> {
        let mut held = Held::default();
        for ip in leases(&self.dir)? {
            let path = self.lease(ip);
            let content = match fs::read(&path) {
                // Removed by hand meanwhile, or no lease at all; removal by a plugin waits for our lock.
                Err(err) if matches!(err.kind(), NotFound | IsADirectory) => continue,
                content => content.map_err(Error::on("read", &path))?,
            };
            let content = String::from_utf8_lossy(&content);
            match content.trim() {
                text if text == owner.content() => held.exact.push(ip),
                text if text == owner.container_id => held.legacy.push(ip),
                _ => {}
            }
        }
        Ok(held)
    }

    /// Gives `ip` to `owner`; false where somebody holds it.
    pub(crate) fn reserve(&self, ip: IpAddr, owner: &Owner) -> Result<bool, Error> {
        let path = self.lease(ip);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match file {
            Err(err) if err.kind() == AlreadyExists => return Ok(false),
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
        for ip in self.held(owner)?.releasable() {
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

/// Every address that is given, in order; none where there is no store. Names are all it reads, so it needs no lock.
pub(crate) fn leases(dir: &Path) -> Result<Vec<IpAddr>, Error> {
    let broken = |err| Error::on("read directory", dir)(err);
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == NotFound => return Ok(Vec::new()),
        entries => entries.map_err(broken)?,
    };
    let mut leases = Vec::new();
    for entry in entries {
        let name = entry.map_err(broken)?.file_name();
        leases.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
    }
    leases.sort_unstable();
    Ok(leases)
}

/// Removes a lease; one that is gone is fine.
pub(crate) fn remove(lease: &Path) -> Result<(), Error> {
    match fs::remove_file(lease) {
        Err(err) if err.kind() == NotFound => Ok(()),
        removed => removed.map_err(Error::on("remove", lease)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of one test, removed with it.
    struct Dir(PathBuf);

    impl Dir {
        fn new(test: &str) -> Self {
            let name = format!("linkspan-store-{}-{test}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn store(&self) -> Store {
            Store::create(&self.0.join("mynet")).unwrap()
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join("mynet").join(name)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn owner(ifname: &str) -> Owner {
        Owner {
            container_id: "dummy".to_owned(),
            ifname: ifname.to_owned(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_lease_is_one_private_file_and_is_given_once() {
        let dir = Dir::new("lease");
        let store = dir.store();
        for text in ["10.1.2.2", "2001:db8:1::2"] {
            assert!(store.reserve(ip(text), &owner("eth0")).unwrap());
            assert!(!store.reserve(ip(text), &owner("eth1")).unwrap());
            let file = dir.file(text);
            assert_eq!(fs::read(&file).unwrap(), b"dummy\r\neth0");
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(
            leases(&store.dir).unwrap(),
            [ip("10.1.2.2"), ip("2001:db8:1::2")]
        );
    }

    #[test]
    fn release_leaves_other_interfaces_and_takes_the_older_form_only_alone() {
        let dir = Dir::new("release");
        let store = dir.store();
        store.reserve(ip("10.1.2.2"), &owner("eth0")).unwrap();
        store.reserve(ip("10.1.2.3"), &owner("eth1")).unwrap();
        fs::write(dir.file("10.1.2.4"), "dummy\n").unwrap();
        store.release(&owner("eth0")).unwrap();
        assert_eq!(
            leases(&store.dir).unwrap(),
            [ip("10.1.2.3"), ip("10.1.2.4")]
        );
        store.release(&owner("eth0")).unwrap();
        assert_eq!(leases(&store.dir).unwrap(), [ip("10.1.2.3")]);
        store.release(&owner("eth0")).unwrap();
        assert_eq!(leases(&store.dir).unwrap(), [ip("10.1.2.3")]);
    }

    #[test]
    fn only_files_named_by_an_address_are_leases() {
        let dir = Dir::new("names");
        let store = dir.store();
        fs::create_dir(dir.file("10.1.2.9")).unwrap();
        fs::create_dir(dir.file("old")).unwrap();
        for name in ["lock", "last_reserved_ip.0", "old/10.1.2.8", "notes"] {
            fs::write(dir.file(name), "dummy\r\neth0").unwrap();
        }
        assert_eq!(store.held(&owner("eth0")).unwrap(), Held::default());
        store.release(&owner("eth0")).unwrap();
        assert!(dir.file("old/10.1.2.8").exists());
    }

    #[test]
    fn the_last_address_is_remembered_and_nonsense_forgotten() {
        let dir = Dir::new("last");
        let store = dir.store();
        assert_eq!(store.last(1), None);
        store.remember_last(1, ip("2001:db8:1::22")).unwrap();
        store.remember_last(1, ip("2001:db8:1::2")).unwrap();
        let text = fs::read_to_string(dir.file("last_reserved_ip.1")).unwrap();
        assert_eq!(text, "2001:db8:1::2");
        assert_eq!(store.last(1), Some(ip("2001:db8:1::2")));
        fs::write(dir.file("last_reserved_ip.1"), "x").unwrap();
        assert_eq!(store.last(1), None);
    }

    #[test]
    fn looking_for_a_store_makes_none() {
        let dir = Dir::new("absent");
        assert!(Store::existing(&dir.0).unwrap().is_none());
        assert!(leases(&dir.0).unwrap().is_empty());
        assert!(!dir.0.exists());
    }

    #[test]
    fn errors_name_the_file() {
        let dir = Dir::new("broken");
        fs::write(&dir.0, "").unwrap();
        let err = leases(&dir.0).unwrap_err();
        let start = format!("read directory {}: ", dir.0.display());
        assert!(err.to_string().starts_with(&start), "{err}");
        assert!(err.hint().is_some());
        fs::remove_file(&dir.0).unwrap();
    }
}
