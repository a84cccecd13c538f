//! The judge of life: whether an attachment can still exist. Unknown counts as alive, so nothing is taken from an
//! attachment unless it is certainly gone.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::boot::{BootId, is_past};
use crate::home::{Home, mount_namespace};
use crate::processes::namespaces;

/// The verdict on an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its namespace is at its path or has a process inside, or the host's end of its link lives.
    Alive,
    /// It no longer exists: it is of an earlier boot, or its namespace is gone.
    Gone,
    /// Nothing decides between the two.
    Unknown,
}

/// The host's end of an attachment's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEnd {
    /// It exists, and its peer's namespace lives.
    Lives,
    /// The attachment had one, and it no longer exists.
    Gone,
    /// Nothing is known of a host end.
    Untold,
}

/// Inodes of namespaces, each with the procfs directory of a process inside.
type Seen = BTreeMap<u64, PathBuf>;

/// How often the judge looks for a process in a namespace where each process that it found ended before it could be
/// examined. After that, one counts as inside.
const LOOKS: usize = 8;

/// Judges by the state of the machine at one time. Reads the list of processes only if needed, and again
/// only where a process ended meanwhile.
#[derive(Debug)]
pub struct Judge {
    boot: Option<BootId>,
    mounts: Option<u64>,
    /// `None` where some process could not be examined.
    inhabited: OnceCell<Option<Seen>>,
    views: OnceCell<Option<Seen>>,
}

impl Judge {
    /// A judge in the boot that is running.
    pub fn now() -> Self {
        Self::new(BootId::current())
    }

    /// A judge in the boot `boot`.
    pub fn new(boot: Option<BootId>) -> Self {
        Self {
            boot,
            mounts: mount_namespace(),
            inhabited: OnceCell::new(),
            views: OnceCell::new(),
        }
    }

    /// Judges an attachment that was seen in `boot`, in the namespace `home` if known.
    pub fn seen(&self, boot: Option<BootId>, home: Option<&Home>) -> Life {
        match home {
            _ if is_past(boot, self.boot) => Life::Gone,
            Some(home) => self.home(home, || HostEnd::Untold),
            None => Life::Unknown,
        }
    }

    /// Judges an attachment of this boot in `home`. Calls `host_end` only where nothing else proves life.
    pub fn home(&self, home: &Home, host_end: impl FnOnce() -> HostEnd) -> Life {
        let there = fs::metadata(&home.path);
        if there
            .as_ref()
            .is_ok_and(|meta| home.is_at(&home.path, meta))
        {
            return Life::Alive;
        }
        // A missing path proves nothing: a path below /proc vanishes with its process, and others may share the
        // namespace.
        let inhabited = self.is_inhabited(home);
        if inhabited == Some(true) || host_end() == HostEnd::Lives {
            return Life::Alive;
        }
        let unreachable = there.is_err_and(|err| err.kind() != io::ErrorKind::NotFound);
        if unreachable || inhabited.is_none() {
            return Life::Unknown;
        }
        match home.mounts {
            Some(mounts) if self.mounts == Some(mounts) => Life::Gone,
            Some(_elsewhere) => Life::Unknown,
            // Older records lack the mount namespace, so the path is looked up in every one that has a process.
            None => match self.is_anywhere(&home.path, |meta| home.is_file(meta)) {
                Some(true) => Life::Alive,
                Some(false) => Life::Gone,
                None => Life::Unknown,
            },
        }
    }

    /// Judges an attachment of which only the namespace's path is known, as libcni caches it.
    pub fn path(&self, path: &Path, host_end: impl FnOnce() -> HostEnd) -> Life {
        if path.as_os_str().is_empty() {
            let lives = host_end() == HostEnd::Lives;
            return if lives { Life::Alive } else { Life::Unknown };
        }
        let Ok(own) = fs::metadata("/proc/self/ns/net") else {
            return Life::Unknown;
        };
        let is_namespace = |meta: &Metadata| meta.dev() == own.dev();
        let unreachable = match fs::metadata(path) {
            Ok(meta) if is_namespace(&meta) => return Life::Alive,
            Ok(_other) => false,
            Err(err) => err.kind() != io::ErrorKind::NotFound,
        };
        let end = host_end();
        if end == HostEnd::Lives {
            return Life::Alive;
        }
        // A path below /proc vanishes with its process. Other processes may share the namespace, so the answer is
        // unknown.
        let of_a_process = path.starts_with("/proc") && end == HostEnd::Untold;
        if unreachable || of_a_process || self.inhabited().is_none() {
            return Life::Unknown;
        }
        match self.is_anywhere(path, is_namespace) {
            Some(true) => Life::Alive,
            Some(false) => Life::Gone,
            None => Life::Unknown,
        }
    }

    /// Returns whether a process is in the namespace; `None` where some process could not be examined.
    fn is_inhabited(&self, home: &Home) -> Option<bool> {
        let mut process = self.inhabited()?.get(&home.ino).cloned();
        for _ in 0..LOOKS {
            let Some(seen) = process else {
                return Some(false);
            };
            if let Some(is_inside) = home.is_of(&seen) {
                return Some(is_inside);
            }
            // That process has ended or left since. Another one may be inside.
            process = namespaces("net").ok()?.get(&home.ino).cloned();
        }
        Some(true)
    }

    fn inhabited(&self) -> Option<&Seen> {
        let look = || namespaces("net").ok();
        self.inhabited.get_or_init(look).as_ref()
    }

    /// Returns whether some process sees a matching file at `path`; `None` where some process cannot be examined.
    fn is_anywhere(&self, path: &Path, is_it: impl Fn(&Metadata) -> bool) -> Option<bool> {
        let look = || namespaces("mnt").ok();
        let views = self.views.get_or_init(look).as_ref()?;
        let others = views
            .iter()
            .filter(|(inode, _)| self.mounts != Some(**inode));
        let below_root = path.strip_prefix("/").unwrap_or(path);
        // `/var/run` is an absolute symlink on nearly every host, and would lead into our own root.
        let plain = below_root.strip_prefix("var/run").ok();
        let plain = plain.map(|rest| Path::new("run").join(rest));
        for (_, process) in others {
            let root = process.join("root");
            let mut forms = [Some(below_root), plain.as_deref()].into_iter().flatten();
            if forms.any(|form| fs::metadata(root.join(form)).is_ok_and(|meta| is_it(&meta))) {
                return Some(true);
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::addr::NetnsPath;

    fn own() -> Home {
        Home::of(&NetnsPath::new("/proc/self/ns/net").unwrap()).unwrap()
    }

    #[test]
    fn a_home_is_read_as_it_was_written_and_an_older_record_without_its_mounts() {
        let home = own();
        let (bytes, supplement) = (home.to_bytes(), home.supplement());
        assert_eq!(Home::parse(&home.text().unwrap()), Some(home.clone()));
        assert_eq!(Home::parse_bytes(&bytes, &supplement), Some(home.clone()));
        let older = Home {
            mounts: None,
            cookie: None,
            ..home.clone()
        };
        assert_eq!(Home::parse_bytes(&bytes, &[]), Some(older));
        let older = Home {
            cookie: None,
            ..home
        };
        let (text, supplement) = (older.text().unwrap(), older.supplement());
        assert_eq!(Home::parse(&text), Some(older.clone()));
        assert_eq!(Home::parse_bytes(&bytes, &supplement), Some(older));
        assert_eq!(Home::parse_bytes(b"short", &[]), None);
    }

    #[test]
    fn a_namespace_that_somebody_is_in_lives_whatever_its_path() {
        let untold = || HostEnd::Untold;
        for path in ["/nonexistent", "/proc/self/ns/mnt"] {
            for mounts in [own().mounts, Some(1), None] {
                let path = path.into();
                let home = Home {
                    mounts,
                    path,
                    ..own()
                };
                assert_eq!(Judge::now().home(&home, untold), Life::Alive);
            }
        }
    }

    #[test]
    fn a_later_namespace_with_the_same_inode_is_another() {
        let Some(cookie) = own().cookie else {
            return;
        };
        for path in ["/nonexistent", "/proc/self/ns/net"] {
            let home = Home {
                cookie: Some(cookie + 1),
                path: path.into(),
                ..own()
            };
            assert!(!home.is(&own()) && !home.is_there());
            assert_eq!(Judge::now().home(&home, || HostEnd::Untold), Life::Gone);
        }
    }

    #[test]
    fn a_process_that_has_ended_since_proves_no_life_of_the_namespace_whose_inode_it_had() {
        let ended = PathBuf::from("/proc/0");
        let empty = Home {
            ino: 1,
            path: "/nonexistent".into(),
            ..own()
        };
        let inhabited = Home {
            path: "/nonexistent".into(),
            ..own()
        };
        for (home, inside) in [(&empty, Some(false)), (&inhabited, Some(true))] {
            let Ok(mut seen) = namespaces("net") else {
                return;
            };
            seen.insert(home.ino, ended.clone());
            let judge = Judge::now();
            judge.inhabited.set(Some(seen)).unwrap();
            assert_eq!(judge.is_inhabited(home), inside);
        }
    }

    #[test]
    fn a_namespace_that_is_not_there_is_gone_only_where_its_path_was_seen() {
        let empty = Home {
            ino: 1,
            path: "/nonexistent".into(),
            ..own()
        };
        let elsewhere = Home {
            mounts: Some(1),
            ..empty.clone()
        };
        let life = |home, end| Judge::now().home(home, || end);
        let gone = if namespaces("net").is_ok() {
            Life::Gone
        } else {
            Life::Unknown
        };
        assert_eq!(life(&empty, HostEnd::Untold), gone);
        assert_eq!(life(&elsewhere, HostEnd::Untold), Life::Unknown);
        assert_eq!(life(&elsewhere, HostEnd::Lives), Life::Alive);
        assert_eq!(life(&empty, HostEnd::Lives), Life::Alive);
        let (then, now) = (BootId([1; 16]), BootId([2; 16]));
        let judge = Judge::new(Some(now));
        assert_eq!(judge.seen(Some(then), Some(&own())), Life::Gone);
        assert_eq!(judge.seen(Some(now), Some(&own())), Life::Alive);
        assert_eq!(judge.seen(None, None), Life::Unknown);
    }

    #[test]
    fn a_path_below_proc_proves_nothing_without_a_host_end() {
        let life = |path: &str, end| Judge::now().path(Path::new(path), || end);
        assert_eq!(life("/proc/self/ns/net", HostEnd::Untold), Life::Alive);
        assert_eq!(life("/proc/0/ns/net", HostEnd::Untold), Life::Unknown);
        assert_eq!(life("/nonexistent", HostEnd::Lives), Life::Alive);
        assert_eq!(life("", HostEnd::Gone), Life::Unknown);
    }
}
