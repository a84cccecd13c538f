//! The home of an attachment: its network namespace, as ADD found it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use linkspan_protocol::addr::NetnsPath;

/// A namespace as ADD found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The mount namespace of ADD: elsewhere the path may name another file. Older records lack this field.
    pub(crate) mounts: Option<u64>,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
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
            path: path.to_owned(),
        })
    }

    /// The namespace's path, as ADD found it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether both are one namespace, whatever their paths.
    pub fn is(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Reads a line of [`Home::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next()?.parse().ok();
        Some(Self {
            mounts: Some(number()?),
            dev: number()?,
            ino: number()?,
            path: Path::new(OsStr::from_bytes(words.next()?.as_bytes())).to_owned(),
        })
    }

    /// The home as a line; `None` where the path would not survive the round trip.
    pub fn text(&self) -> Option<String> {
        let path = self.path.to_str().filter(|path| !path.contains('\n'))?;
        let (dev, ino, mounts) = (self.dev, self.ino, self.mounts?);
        Some(format!("{mounts} {dev} {ino} {path}"))
    }

    /// The home as bytes, without the mount namespace ([`Home::mounts_bytes`]). Older releases read exactly these
    /// bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.dev.to_le_bytes());
        bytes.extend(self.ino.to_le_bytes());
        bytes.extend(self.path.as_os_str().as_bytes());
        bytes
    }

    /// The mount namespace as bytes; empty where it is unknown.
    pub fn mounts_bytes(&self) -> Vec<u8> {
        let bytes = self.mounts.map(|mounts| mounts.to_le_bytes().to_vec());
        bytes.unwrap_or_default()
    }

    /// Reads the bytes of [`Home::to_bytes`] and [`Home::mounts_bytes`].
    pub fn parse_bytes(bytes: &[u8], mounts: &[u8]) -> Option<Self> {
        let (dev, rest) = bytes.split_first_chunk::<8>()?;
        let (ino, path) = rest.split_first_chunk::<8>()?;
        (!path.is_empty()).then(|| Self {
            mounts: mounts.try_into().ok().map(u64::from_le_bytes),
            dev: u64::from_le_bytes(*dev),
            ino: u64::from_le_bytes(*ino),
            path: OsString::from_vec(path.to_vec()).into(),
        })
    }
}

/// The inode of this process's mount namespace.
pub fn mount_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/mnt").ok()?.ino())
}
