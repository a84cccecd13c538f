//! Files below `/proc/sys/net`. Interface names may contain dots.
//!
//! Files are opened in a procfs of our own, where the kernel allows one. In the host's, another file system may hide
//! `/proc/sys` (CVE-2025-52881): symlinks are never followed, every open file is checked with fstatfs to be on procfs
//! before use, and no file is created or truncated.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::procfs;

/// The sysctls that belong to a network namespace.
const NET: &str = "/proc/sys/net";

/// The file of `key` for one interface; `family` is `ipv4` or `ipv6`.
pub fn of_interface(family: &str, ifname: &str, key: &str) -> PathBuf {
    Path::new(NET)
        .join(family)
        .join("conf")
        .join(ifname)
        .join(key)
}

/// The files of one namespace, valid while the thread is inside. [`Side::sysctl`](crate::Side::sysctl) creates them.
#[derive(Debug)]
pub struct Sysctls(());

impl Sysctls {
    /// The files of the thread's current namespace.
    pub(crate) fn of_this_visit() -> Self {
        Self(())
    }

    /// Reads the value.
    pub fn get(&self, path: &Path) -> Result<String> {
        read(path).map_err(|err| failed("read", path, &err))
    }

    /// Reads the value; `None` where this kernel lacks the key.
    pub fn known(&self, path: &Path) -> Result<Option<String>> {
        match read(path) {
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path).map(|()| None),
            value => value.map(Some).map_err(|err| failed("read", path, &err)),
        }
    }

    /// Sets the sysctl to `value`. Writes nothing if it already has that value, so a read-only `/proc/sys` suffices.
    pub fn set(&self, path: &Path, value: &str) -> Result<()> {
        if self.get(path)? == value {
            return Ok(());
        }
        write(path, value).map_err(|err| unwritten(path, value, &err))
    }

    /// Like [`Sysctls::set`], but ignores a key that this kernel lacks.
    pub fn set_if_known(&self, path: &Path, value: &str) -> Result<()> {
        match read(path) {
            Ok(now) if now == value => Ok(()),
            Ok(_) => write(path, value).map_err(|err| unwritten(path, value, &err)),
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path),
            Err(err) => Err(failed("read", path, &err)),
        }
    }

    /// The same with the write first, and a read only if the write fails. For numbers of one link that the kernel only
    /// stores, without side effects.
    pub fn put_if_known(&self, path: &Path, value: &str) -> Result<()> {
        match write(path, value) {
            Ok(()) => Ok(()),
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path),
            Err(_) if read(path).is_ok_and(|now| now == value) => Ok(()),
            Err(err) => Err(unwritten(path, value, &err)),
        }
    }

    /// Reads the value; `None` for a write-only key.
    pub fn legible(&self, path: &Path) -> Result<Option<String>> {
        match read(path) {
            Err(err) if err.kind() == ErrorKind::PermissionDenied => Ok(None),
            value => value.map(Some).map_err(|err| failed("read", path, &err)),
        }
    }

    /// Writes `value` without a look at the current one.
    pub fn put(&self, path: &Path, value: &str) -> Result<()> {
        write(path, value).map_err(|err| unwritten(path, value, &err))
    }

    /// Returns whether the kernel has IPv6.
    pub fn has_ipv6(&self) -> Result<bool> {
        let key = of_interface("ipv6", "all", "disable_ipv6");
        self.known(&key).map(|value| value.is_some())
    }

    /// Forbids routers on the link to configure the host (CVE-2020-10749). Call it before the link goes up.
    pub fn refuse_router_advertisements(&self, ifname: &str) -> Result<()> {
        self.put_if_known(&of_interface("ipv6", ifname, "accept_ra"), "0")
    }

    /// Makes the link-local IPv6 address of a new link usable at once, without duplicate address detection. Until it is
    /// usable, the kernel resolves no neighbour for other addresses. Call it before the link goes up.
    pub fn trust_link_local_address(&self, ifname: &str) -> Result<()> {
        self.put_if_known(&of_interface("ipv6", ifname, "accept_dad"), "0")
    }
}

/// The kernel may lack a key, but then `/proc/sys/net` must still be on procfs.
fn unknown(path: &Path) -> Result<()> {
    open(Path::new(NET), OFlag::O_DIRECTORY)
        .map(drop)
        .map_err(|_no_directory_of_procfs| failed("find", path, &hidden()))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path, OFlag::O_RDONLY)?.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    open(path, OFlag::O_WRONLY)?.write_all(value.as_bytes())
}

/// Opens the file, if it is on procfs and no symlink leads to it.
fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let (root, path) = match (procfs::own(), path.strip_prefix("/proc")) {
        (Some(own), Ok(path)) => (own.as_fd(), path),
        _ => (AT_FDCWD, path),
    };
    let file = openat2(root, path, how).map_err(|errno| match errno {
        Errno::ELOOP => hidden(),
        errno => errno.into(),
    })?;
    if fstatfs(&file)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(hidden());
    }
    Ok(file.into())
}

fn hidden() -> io::Error {
    io::Error::other("something else than procfs is mounted there")
}

fn unwritten(path: &Path, value: &str, err: &io::Error) -> Failure {
    failed(&format!("write {value} to"), path, err)
}

fn failed(attempt: &str, path: &Path, err: &io::Error) -> Failure {
    let text = format!("{attempt} {}: {err}", path.display());
    let hint = match err.kind() {
        ErrorKind::Other | ErrorKind::NotFound => {
            "run where /proc/sys is the kernel's: unmount what hides it"
        }
        ErrorKind::Unsupported => "this needs Linux 5.6 or newer, and openat2(2) allowed",
        _ => "run as root with a writable /proc/sys",
    };
    Failure::new(ErrorCode::INTERNAL, text).hint(hint)
}

/// The command that sets the sysctl to `value`.
pub fn command(path: &Path, value: &str) -> String {
    let key = path.strip_prefix("/proc/sys").unwrap_or(path);
    let key = key.display().to_string();
    // sysctl(8) takes slashes, too, and needs them where a name has dots.
    let key = if key.contains('.') {
        key
    } else {
        key.replace('/', ".")
    };
    format!("sysctl -w {key}={value}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_with_dots_stay_one_component() {
        assert_eq!(
            of_interface("ipv6", "cni0.100", "accept_ra"),
            Path::new("/proc/sys/net/ipv6/conf/cni0.100/accept_ra")
        );
    }

    #[test]
    fn the_command_names_the_key_as_sysctl_takes_it() {
        for (ifname, expected) in [
            ("cni0", "sysctl -w net.ipv4.conf.cni0.forwarding=1"),
            ("cni0.100", "sysctl -w net/ipv4/conf/cni0.100/forwarding=1"),
        ] {
            let path = of_interface("ipv4", ifname, "forwarding");
            assert_eq!(command(&path, "1"), expected);
        }
    }

    #[test]
    fn a_file_that_is_not_the_kernels_is_neither_read_nor_written() {
        let path = std::env::temp_dir().join(format!("sysctl-{}", std::process::id()));
        fs::write(&path, "0").unwrap();
        for failed in [
            Sysctls(()).get(&path).map(drop),
            Sysctls(()).set(&path, "1"),
            Sysctls(()).put_if_known(&path, "1"),
        ] {
            let failure = failed.unwrap_err();
            assert!(failure.message().contains("else than procfs"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
        fs::remove_file(&path).unwrap();
        // A link to another file of procfs: this thread's name.
        symlink("/proc/thread-self/comm", &path).unwrap();
        let name = fs::read_to_string(&path).unwrap();
        for failed in [
            Sysctls(()).get(&path).map(drop),
            Sysctls(()).set(&path, "1"),
            Sysctls(()).put_if_known(&path, "1"),
        ] {
            let failure = failed.unwrap_err();
            assert!(failure.message().contains("else than procfs"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), name);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_unknown_key_matters_only_to_set() {
        let path = Path::new("/proc/sys/net/ipv9/conf/x/y");
        assert!(Sysctls(()).set_if_known(path, "1").is_ok());
        assert!(Sysctls(()).put_if_known(path, "1").is_ok());
        let failure = Sysctls(()).set(path, "1").unwrap_err();
        assert!(failure.message().contains("/proc/sys/net/ipv9/conf/x/y"));
    }
}
