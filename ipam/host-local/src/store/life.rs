//! Whether whoever got an address can still be there. What cannot be known is taken for life.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use linkspan_plugin::capability::{Capability, Effective};
use linkspan_protocol::addr::NetnsPath;
use nix::errno::Errno;

/// Which boot of the machine: it outlives no process and no namespace, and needs no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BootId(pub(crate) [u8; 16]);

impl BootId {
    /// The boot that is running.
    pub(crate) fn current() -> Option<Self> {
        Self::parse(
            fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()?
                .trim(),
        )
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.replace('-', "");
        let number = u128::from_str_radix(&digits, 16).ok()?;
        (digits.len() == 32).then(|| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A namespace as ADD found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// The mount namespace in which the path was looked up: elsewhere it may lead elsewhere.
    mounts: u64,
    dev: u64,
    ino: u64,
    path: PathBuf,
}

impl Home {
    /// The namespace at an absolute path.
    pub(crate) fn of(netns: &NetnsPath) -> Option<Self> {
        let path = netns.as_path();
        let meta = fs::metadata(path).ok()?;
        path.is_absolute().then_some(Self {
            mounts: mount_namespace()?,
            dev: meta.dev(),
            ino: meta.ino(),
            path: path.to_owned(),
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next()?.parse().ok();
        Some(Self {
            mounts: number()?,
            dev: number()?,
            ino: number()?,
            path: Path::new(OsStr::from_bytes(words.next()?.as_bytes())).to_owned(),
        })
    }

    /// For [`Home::parse`]; nothing where the path would not come back as it is.
    pub(crate) fn text(&self) -> Option<String> {
        let path = self.path.to_str().filter(|path| !path.contains('\n'))?;
        let Self {
            mounts, dev, ino, ..
        } = self;
        Some(format!("{mounts} {dev} {ino} {path}"))
    }
}

pub(super) fn mount_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/mnt").ok()?.ino())
}

/// What is known of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its namespace is where it was, or inhabited.
    Live,
    /// It cannot be known.
    Unknown,
    /// Of an earlier boot.
    Past,
    /// Its namespace is gone.
    Gone,
}

impl Life {
    /// Whether it cannot be there any more.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Past | Self::Gone)
    }
}

/// Judges by the state of the machine at one time.
#[derive(Debug)]
pub(crate) struct Judge {
    boot: Option<BootId>,
    mounts: Option<u64>,
    /// The namespaces that have processes; none where some could not be examined. Looked up when it matters.
    inhabited: OnceCell<Option<BTreeSet<u64>>>,
}

impl Judge {
    pub(crate) fn new(boot: Option<BootId>) -> Self {
        Self {
            boot,
            mounts: mount_namespace(),
            inhabited: OnceCell::new(),
        }
    }

    /// An attachment that was seen in `boot`, in the namespace `home` if that is known.
    pub(crate) fn life(&self, boot: Option<BootId>, home: Option<&Home>) -> Life {
        if is_past(boot, self.boot) {
            return Life::Past;
        }
        match home {
            Some(home) if self.mounts == Some(home.mounts) => self.life_in(home),
            _ => Life::Unknown,
        }
    }

    fn life_in(&self, home: &Home) -> Life {
        match fs::metadata(&home.path) {
            Ok(meta) if (meta.dev(), meta.ino()) == (home.dev, home.ino) => return Life::Live,
            Ok(_another) => {}
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(_unreachable) => return Life::Unknown,
        }
        // The path is no proof by itself: one below /proc goes with a process that may not have been the only one.
        match self.inhabited.get_or_init(|| inhabited().ok()) {
            Some(inhabited) if inhabited.contains(&home.ino) => Life::Live,
            Some(_) => Life::Gone,
            None => Life::Unknown,
        }
    }
}

/// Whether something seen in the boot `then` is of an earlier one.
pub(crate) fn is_past(then: Option<BootId>, now: Option<BootId>) -> bool {
    then.zip(now).is_some_and(|(then, now)| then != now)
}

/// The inodes of the network namespaces of all processes that could be anybody's of ours. An error where one of them
/// hides its own.
fn inhabited() -> io::Result<BTreeSet<u64>> {
    let confined = is_confined();
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        match fs::metadata(entry.path().join("ns/net")) {
            Ok(meta) => drop(inodes.insert(meta.ino())),
            // It has ended meanwhile.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) if err.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied && confined => {}
            Err(err) => return Err(err),
        }
    }
    Ok(inodes)
}

/// Whether we are in a user namespace of our own, and may look at every process in it and below. Then one that hides is
/// outside, where it can be in none of the namespaces that were made inside.
fn is_confined() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let whole = [0, 0, u32::MAX].map(|number| number.to_string());
    let outermost = read("/proc/self/uid_map")
        .split_whitespace()
        .eq(whole.iter());
    !outermost && Effective::own().is_some_and(|own| own.has(Capability::SysPtrace))
}
