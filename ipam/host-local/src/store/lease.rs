//! A lease on disk, in the Go plugin's form: the file `<dir>/<address>` holds the container id, CR LF and the interface
//! name, without a final newline; older plugins wrote the container id alone.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::ErrorKind::{AlreadyExists, IsADirectory, NotFound};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use linkspan_owner::file;
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

use super::error::Error;
use super::{PLAIN, is_link};

/// The content of an entry named by an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A lease.
    Attachment(AttachmentId),
    /// A lease of an older plugin.
    Container(ContainerId),
    /// Empty, or a text that no plugin writes, as after a crash.
    Nobody,
    /// Not a file. No plugin makes or removes such an entry.
    Obstacle,
}

/// Distinguishes a file from every other one that has had its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) ino: u64,
    /// Seconds and nanoseconds of the last write.
    pub(crate) written: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            ino: meta.ino(),
            written: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// An entry named by an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) ip: IpAddr,
    pub(crate) holder: Holder,
    pub(crate) stamp: Stamp,
}

impl Lease {
    /// Reads the entry of `ip`, if there is one.
    pub(crate) fn read(dir: &Path, ip: IpAddr) -> Result<Option<Self>, Error> {
        let path = path(dir, ip);
        let read = || -> io::Result<Self> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).custom_flags(PLAIN).open(&path)?;
            let meta = file.metadata()?;
            if !meta.is_file() {
                return Ok(Self::obstacle(ip, &meta));
            }
            let holder = parse(&String::from_utf8_lossy(&content(&mut file)?));
            let stamp = Stamp::of(&meta);
            Ok(Self { ip, holder, stamp })
        };
        match read() {
            Err(err) if err.kind() == NotFound => Ok(None),
            Err(err) if is_link(&err) => fs::symlink_metadata(&path)
                .map(|found| Some(Self::obstacle(ip, &found)))
                .map_err(Error::on("examine", &path)),
            read => read.map(Some).map_err(Error::on("read", &path)),
        }
    }

    fn obstacle(ip: IpAddr, found: &Metadata) -> Self {
        Self {
            ip,
            holder: Holder::Obstacle,
            stamp: Stamp::of(found),
        }
    }
}

/// One read is enough for all but the longest ids, which matters where every lease is read.
fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut content = vec![0; 512];
    let got = file.read(&mut content)?;
    content.truncate(got);
    if got == 512 {
        file.read_to_end(&mut content)?;
    }
    Ok(content)
}

fn parse(content: &str) -> Holder {
    let content = content.trim();
    let id = |text| ContainerId::parse(text).ok();
    if let Some((container, ifname)) = content.split_once("\r\n") {
        return match (id(container), IfName::parse(ifname)) {
            (Some(container_id), Ok(ifname)) => Holder::Attachment(AttachmentId {
                container_id,
                ifname,
            }),
            _ => Holder::Nobody,
        };
    }
    id(content).map_or(Holder::Nobody, Holder::Container)
}

/// The file of `ip`'s lease.
pub(crate) fn path(dir: &Path, ip: IpAddr) -> PathBuf {
    dir.join(ip.to_string())
}

/// Every address that has an entry, in order; empty without a directory. It reads only names, so it needs no lock.
pub(crate) fn names(dir: &Path) -> Result<Vec<IpAddr>, Error> {
    let broken = |err| Error::on("read directory", dir)(err);
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == NotFound => return Ok(Vec::new()),
        entries => entries.map_err(broken)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(broken)?.file_name();
        names.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a lease; a missing one is not an error.
pub(crate) fn remove(dir: &Path, ip: IpAddr) -> Result<(), Error> {
    let path = path(dir, ip);
    file::remove(&path).map_err(Error::on("remove", &path))
}

/// A lease that is not visible yet. It is written whole and then gets its names by link(2), which never replaces a
/// file. So a killed process leaves a whole lease or none.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    /// A temporary name, where the filesystem needs one.
    name: Option<PathBuf>,
}

impl Draft {
    pub(crate) fn new(dir: &Path, owner: &AttachmentId) -> Result<Self, Error> {
        let nameless = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(dir);
        match nameless {
            Ok(file) => Self { file, name: None }.written(dir, owner),
            // A filesystem without nameless files answers "not supported", an old kernel "is a directory".
            Err(err)
                if err.raw_os_error() == Some(Errno::EOPNOTSUPP as i32)
                    || err.kind() == IsADirectory =>
            {
                Self::named(dir, owner)
            }
            Err(err) => Err(Error::on("create a file in", dir)(err)),
        }
    }

    /// The same on a filesystem without nameless files. A file that an earlier process left is not in use, because we
    /// hold the lock.
    fn named(dir: &Path, owner: &AttachmentId) -> Result<Self, Error> {
        let name = dir.join(".linkspan-draft");
        let create = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(&name)
        };
        let file = match create() {
            Err(err) if err.kind() == AlreadyExists => {
                fs::remove_file(&name).and_then(|()| create())
            }
            created => created,
        };
        let file = file.map_err(Error::on("create", &name))?;
        let name = Some(name);
        Self { file, name }.written(dir, owner)
    }

    fn written(mut self, dir: &Path, owner: &AttachmentId) -> Result<Self, Error> {
        let content = format!("{}\r\n{}", owner.container_id, owner.ifname);
        let written = self.file.write_all(content.as_bytes());
        written.map_err(Error::on("write a lease in", dir))?;
        Ok(self)
    }

    pub(crate) fn stamp(&self, dir: &Path) -> Result<Stamp, Error> {
        let meta = self.file.metadata();
        Ok(Stamp::of(&meta.map_err(Error::on("examine", dir))?))
    }

    /// Makes it the lease of `ip`; false where there is one.
    pub(crate) fn publish(&self, dir: &Path, ip: IpAddr) -> Result<bool, Error> {
        let source = match &self.name {
            Some(name) => name.clone(),
            None => PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd())),
        };
        let path = path(dir, ip);
        let linked = linkat(
            AT_FDCWD,
            &source,
            AT_FDCWD,
            &path,
            AtFlags::AT_SYMLINK_FOLLOW,
        );
        match linked.map_err(io::Error::from) {
            Err(err) if err.kind() == AlreadyExists => Ok(false),
            linked => linked.map(|()| true).map_err(Error::on("create", &path)),
        }
    }

    /// Removes the temporary name.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.name {
            Some(name) => fs::remove_file(&name).map_err(Error::on("remove", &name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents() {
        let attachment = |id, ifname| {
            Holder::Attachment(AttachmentId {
                container_id: ContainerId::parse(id).unwrap(),
                ifname: IfName::parse(ifname).unwrap(),
            })
        };
        for (content, holder) in [
            ("dummy\r\neth0", attachment("dummy", "eth0")),
            (" dummy\r\neth0\n", attachment("dummy", "eth0")),
            (
                "dummy\n",
                Holder::Container(ContainerId::parse("dummy").unwrap()),
            ),
            ("", Holder::Nobody),
            ("\0\0\0", Holder::Nobody),
            (
                "dummy\r\n",
                Holder::Container(ContainerId::parse("dummy").unwrap()),
            ),
            ("dummy\neth0", Holder::Nobody),
            ("kept for the router", Holder::Nobody),
        ] {
            assert_eq!(parse(content), holder, "{content:?}");
        }
    }

    #[test]
    fn a_filesystem_without_nameless_files_gets_the_same_leases() {
        let dir = std::env::temp_dir().join(format!("linkspan-draft-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(".linkspan-draft"), "left by a crash").unwrap();
        let owner = AttachmentId {
            container_id: ContainerId::parse("dummy").unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        let ips: [IpAddr; 2] = [[10, 0, 0, 2].into(), "fd00::2".parse().unwrap()];
        let draft = Draft::named(&dir, &owner).unwrap();
        for ip in ips {
            assert!(draft.publish(&dir, ip).unwrap());
            assert!(!draft.publish(&dir, ip).unwrap());
        }
        draft.finish().unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        for ip in ips {
            let lease = Lease::read(&dir, ip).unwrap().unwrap();
            assert_eq!(lease.holder, Holder::Attachment(owner.clone()));
            remove(&dir, ip).unwrap();
        }
        fs::remove_dir(&dir).unwrap();
    }
}
