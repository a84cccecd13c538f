//! The home of an attachment: its network namespace, as ADD found it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use linkspan_netlink::netns::Netns;
use linkspan_protocol::addr::NetnsPath;

/// A namespace as ADD found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The mount namespace of ADD: elsewhere the path may name another file. Older records lack this field.
    pub(crate) mounts: Option<u64>,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// The namespace's own number. Older records lack this field, and older kernels have none.
    pub(crate) cookie: Option<u64>,
    pub(crate) path: PathBuf,
}

impl Home {
    /// The namespace at an absolute path; `None` where it cannot be examined.
    pub fn of(netns: &NetnsPath) -> Option<Self> {
        let path = netns.as_path();
        let meta = fs::metadata(path).ok()?;
        path.is_absolute().then_some(Self {
            mounts: Some(mount_namespace()?),
            dev: meta.dev(),
            ino: meta.ino(),
            cookie: cookie(path),
            path: path.to_owned(),
        })
    }

    /// Returns whether it is the namespace at `path`, whose file has `meta`. An inode's number alone is used again by
    /// later namespaces, so the cookies decide where both are known.
    pub(crate) fn is_at(&self, path: &Path, meta: &Metadata) -> bool {
        let is_other = |own: u64| cookie(path).is_some_and(|there| there != own);
        self.is_file(meta) && !self.cookie.is_some_and(is_other)
    }

    /// Returns whether the process with this procfs directory is in the namespace; `None` where it has ended, or is in
    /// another namespace than this inode's.
    pub(crate) fn is_of(&self, process: &Path) -> Option<bool> {
        let there = Netns::open(&process.join("ns/net")).ok()?;
        let id = there.id().ok()?;
        let is_same_file = (id.dev, id.ino) == (self.dev, self.ino);
        let cookies = self.cookie.zip(there.cookie());
        is_same_file.then_some(cookies.is_none_or(|(own, there)| own == there))
    }

    /// Returns whether both are one namespace, by whatever paths.
    pub fn is(&self, other: &Self) -> bool {
        let cookies = self.cookie.zip(other.cookie);
        (self.dev, self.ino) == (other.dev, other.ino)
            && cookies.is_none_or(|(one, other)| one == other)
    }

    /// Returns whether the file is at the same device and inode.
    pub(crate) fn is_file(&self, meta: &Metadata) -> bool {
        (meta.dev(), meta.ino()) == (self.dev, self.ino)
    }

    /// Returns whether the namespace is still at its path.
    pub fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|meta| self.is_at(&self.path, &meta))
    }

    /// The namespace's path, as ADD found it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a line of [`Home::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let mounts = words.next()?.parse().ok()?;
        let dev = words.next()?.parse().ok()?;
        let mut numbers = words.next()?.split('.').map(str::parse);
        let ino = numbers.next()?.ok()?;
        let cookie = numbers.next().transpose().ok()?;
        Some(Self {
            mounts: Some(mounts),
            dev,
            ino,
            cookie,
            path: Path::new(OsStr::from_bytes(words.next()?.as_bytes())).to_owned(),
        })
    }

    /// The home as a line; `None` where the path would not survive the round trip. An older release ignores a line
    /// with a cookie, and then counts the attachment as alive.
    pub fn text(&self) -> Option<String> {
        let path = self.path.to_str().filter(|path| !path.contains('\n'))?;
        let (dev, ino, mounts) = (self.dev, self.ino, self.mounts?);
        let cookie = self.cookie.map(|cookie| format!(".{cookie}"));
        Some(format!(
            "{mounts} {dev} {ino}{} {path}",
            cookie.unwrap_or_default()
        ))
    }

    /// The namespace's place, as bytes. Older releases read exactly these bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.dev.to_le_bytes());
        bytes.extend(self.ino.to_le_bytes());
        bytes.extend(self.path.as_os_str().as_bytes());
        bytes
    }

    /// The mount namespace and the cookie as bytes, as far as they are known. An older release reads a cookie as an
    /// unknown mount namespace, and looks into all of them.
    pub fn supplement(&self) -> Vec<u8> {
        let numbers = self.mounts.into_iter().chain(self.mounts.and(self.cookie));
        numbers.flat_map(u64::to_le_bytes).collect()
    }

    /// Reads the bytes of [`Home::to_bytes`] and [`Home::supplement`].
    pub fn parse_bytes(bytes: &[u8], supplement: &[u8]) -> Option<Self> {
        let (dev, rest) = bytes.split_first_chunk::<8>()?;
        let (ino, path) = rest.split_first_chunk::<8>()?;
        let mut numbers = supplement
            .chunks_exact(8)
            .map_while(|chunk| chunk.try_into().ok());
        let mut number = || numbers.next().map(u64::from_le_bytes);
        (!path.is_empty()).then(|| Self {
            mounts: number(),
            cookie: number(),
            dev: u64::from_le_bytes(*dev),
            ino: u64::from_le_bytes(*ino),
            path: OsString::from_vec(path.to_vec()).into(),
        })
    }
}

/// The cookie of the namespace at `path`.
fn cookie(path: &Path) -> Option<u64> {
    Netns::open(path).ok()?.cookie()
}

/// The inode of this process's mount namespace.
pub fn mount_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/mnt").ok()?.ino())
}
