//! Network namespaces: opening, creating and visiting them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket};
use nix::sys::statfs::{NSFS_MAGIC, PROC_SUPER_MAGIC, Statfs, fstatfs, statfs};
use nix::unistd::{Gid, Uid};
use nix::{getsockopt_impl, libc, sockopt_impl};

use crate::error::Error;

const OWN: &str = "/proc/thread-self/ns/net";

sockopt_impl!(
    /// The cookie of a socket's network namespace.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// An open network namespace; it lives at least as long as this value.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
}

/// The identity of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetnsId {
    /// Device of the namespace filesystem.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
}

/// A path that could not be opened as a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// The path.
    pub path: PathBuf,
    /// The reason.
    pub kind: OpenErrorKind,
}

/// The reason why a path is not a usable namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The path does not exist.
    Missing,
    /// The path is another kind of file.
    NotNamespace,
    /// The kernel refused with this errno.
    Io(i32),
}

impl OpenError {
    /// Returns whether the path does not exist.
    pub fn is_missing(&self) -> bool {
        self.kind == OpenErrorKind::Missing
    }

    /// Returns whether the namespace has lost its path: the path is missing, or is a plain file that lost its mount.
    pub fn is_gone(&self) -> bool {
        match self.kind {
            OpenErrorKind::Missing => true,
            OpenErrorKind::NotNamespace => self.is_plain_file(),
            OpenErrorKind::Io(_) => false,
        }
    }

    /// Files of nsfs and procfs look plain, too, and do not count.
    fn is_plain_file(&self) -> bool {
        let kernels = [NSFS_MAGIC, PROC_SUPER_MAGIC];
        let is_kernels = |found: Statfs| kernels.contains(&found.filesystem_type());
        let is_file = fs::metadata(&self.path).is_ok_and(|meta| meta.is_file());
        is_file && statfs(&self.path).is_ok_and(|found| !is_kernels(found))
    }

    /// Returns whether the kernel denies us access.
    pub fn is_forbidden(&self) -> bool {
        let errno = match self.kind {
            OpenErrorKind::Io(errno) => Errno::from_raw(errno),
            OpenErrorKind::Missing | OpenErrorKind::NotNamespace => return false,
        };
        matches!(errno, Errno::EACCES | Errno::EPERM)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to open netns \"{}\": ", self.path.display())?;
        match self.kind {
            OpenErrorKind::Missing => f.write_str("no such file or directory"),
            OpenErrorKind::NotNamespace => f.write_str("not a network namespace"),
            OpenErrorKind::Io(errno) => f.write_str(&Errno::from_raw(errno).desc().to_lowercase()),
        }
    }
}

impl std::error::Error for OpenError {}

impl Netns {
    /// Opens `path`. Checks the file system first, so that opening never blocks on a FIFO.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fail = |kind| OpenError {
            path: path.to_owned(),
            kind,
        };
        let errno = |errno| match errno {
            Errno::ENOENT => fail(OpenErrorKind::Missing),
            errno => fail(OpenErrorKind::Io(errno as i32)),
        };
        let magic = statfs(path).map_err(errno)?.filesystem_type();
        if magic != NSFS_MAGIC && magic != PROC_SUPER_MAGIC {
            return Err(fail(OpenErrorKind::NotNamespace));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)
            .map_err(|err| errno(Errno::from_raw(err.raw_os_error().unwrap_or(0))))?;
        if fstatfs(&file).map_err(errno)?.filesystem_type() != NSFS_MAGIC {
            return Err(fail(OpenErrorKind::NotNamespace));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// The namespace of this thread.
    pub fn current() -> Result<Self, Error> {
        Ok(Self {
            file: File::open(OWN).map_err(Error::io("open", OWN))?,
            path: OWN.into(),
        })
    }

    /// Creates an empty namespace. The thread stays where it is.
    pub fn create() -> Result<Self, Error> {
        let home = Self::current()?;
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::new("create", "a network namespace", errno as i32))?;
        let made = Self::current();
        home.come_home();
        made
    }

    /// Moves the calling process, which must be single-threaded, into a new namespace for good. An ordinary user
    /// becomes root of a new user namespace first (`user_namespaces(7)`).
    pub fn isolate() -> Result<(), Error> {
        let attempt = |errno| Error::new("create", "a network namespace", errno as i32);
        match unshare(CloneFlags::CLONE_NEWNET) {
            Err(Errno::EPERM) => {}
            moved => return moved.map_err(attempt),
        }
        let (user, group) = (Uid::effective(), Gid::effective());
        unshare(CloneFlags::CLONE_NEWUSER).map_err(attempt)?;
        for (file, text) in [
            // Without "deny", the kernel lets no ordinary user write gid_map.
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("0 {user} 1")),
            ("/proc/self/gid_map", format!("0 {group} 1")),
        ] {
            fs::write(file, text).map_err(Error::io("write", file))?;
        }
        // The order matters: procfs files belong to the namespace's root at the creation of the network namespace.
        unshare(CloneFlags::CLONE_NEWNET).map_err(attempt)
    }

    /// Runs `visit` inside this namespace and returns to the thread's own, whatever `visit` returns.
    pub fn scope<T>(&self, visit: impl FnOnce() -> T) -> Result<T, Error> {
        let home = Self::current()?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::new("enter netns", self.path.display(), errno as i32))?;
        let seen = visit();
        home.come_home();
        Ok(seen)
    }

    /// Panics on failure: a plugin in the wrong namespace is worse than a dead one. Only the panic hook runs after
    /// that.
    #[expect(
        clippy::panic,
        reason = "the only place that may: continuing from here would be unsafe"
    )]
    fn come_home(&self) {
        if let Err(errno) = setns(&self.file, CloneFlags::CLONE_NEWNET) {
            panic!("return to netns {}: {}", self.path.display(), errno.desc());
        }
    }

    /// The namespace's identity.
    pub fn id(&self) -> Result<NetnsId, Error> {
        let meta = self
            .file
            .metadata()
            .map_err(Error::io("examine netns", self.path.display()))?;
        Ok(NetnsId {
            dev: meta.dev(),
            ino: meta.ino(),
        })
    }

    /// The number that no other namespace has until the next boot (`SO_NETNS_COOKIE`, Linux 5.14). The kernel reuses
    /// an inode's number as soon as its namespace is gone. `None` on an older kernel, or without the right to enter.
    pub fn cookie(&self) -> Option<u64> {
        let (family, kind) = (AddressFamily::Unix, SockType::Datagram);
        let ask = || {
            let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).ok()?;
            getsockopt(&socket, NetnsCookie).ok()
        };
        self.scope(ask).ok()?
    }

    /// The path at which the namespace was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
