//! Files below `/proc/sys/net`. Interface names may contain dots.
//!
//! They are looked up in a procfs of our own, where the kernel allows one. In the host's, what is mounted over `/proc/sys`
//! is not the kernel (CVE-2025-52881): no link is followed, every file is asked, once it is open and before it is read or
//! written, whether procfs has it, and none is ever created or cut short.

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

/// Where the kernel keeps what belongs to a namespace.
const NET: &str = "/proc/sys/net";

/// The file of `key` for one interface; `family` is `ipv4` or `ipv6`.
pub fn of_interface(family: &str, ifname: &str, key: &str) -> PathBuf {
    Path::new(NET)
        .join(family)
        .join("conf")
        .join(ifname)
        .join(key)
}

/// The files of one namespace, as long as the thread is there; [`Side::sysctl`](crate::Side::sysctl) hands them out.
#[derive(Debug)]
pub struct Sysctls(());

impl Sysctls {
    /// Those of the namespace that the thread is in.
    pub(crate) fn of_this_visit() -> Self {
        Self(())
    }

    /// What the file says.
    pub fn get(&self, path: &Path) -> Result<String> {
        read(path).map_err(|err| failed("read", path, &err))
    }

    /// The same of a key that this kernel may lack.
    pub fn known(&self, path: &Path) -> Result<Option<String>> {
        match read(path) {
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path).map(|()| None),
            value => value.map(Some).map_err(|err| failed("read", path, &err)),
        }
    }

    /// Makes the file say `value`; one that does already is left alone, so that a read-only `/proc/sys` may do.
    pub fn set(&self, path: &Path, value: &str) -> Result<()> {
        if self.get(path)? == value {
            return Ok(());
        }
        write(path, value).map_err(|err| unwritten(path, value, &err))
    }

    /// Like [`Sysctls::set`], for a key that this kernel may lack: then there is nothing to be afraid of either.
    pub fn set_if_known(&self, path: &Path, value: &str) -> Result<()> {
        match read(path) {
            Ok(now) if now == value => Ok(()),
            Ok(_) => write(path, value).map_err(|err| unwritten(path, value, &err)),
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path),
            Err(err) => Err(failed("read", path, &err)),
        }
    }

    /// The same for a number of one link that the kernel keeps and does nothing else about when it is written: so it is, and
    /// looked at only where it cannot be.
    pub fn put_if_known(&self, path: &Path, value: &str) -> Result<()> {
        match write(path, value) {
            Ok(()) => Ok(()),
            Err(err) if err.kind() == ErrorKind::NotFound => unknown(path),
            Err(_) if read(path).is_ok_and(|now| now == value) => Ok(()),
            Err(err) => Err(unwritten(path, value, &err)),
        }
    }

    /// What the file says, for a key that may be there only to be written: `None` then.
    pub fn legible(&self, path: &Path) -> Result<Option<String>> {
        match read(path) {
            Err(err) if err.kind() == ErrorKind::PermissionDenied => Ok(None),
            value => value.map(Some).map_err(|err| failed("read", path, &err)),
        }
    }

    /// Writes `value`, whatever the file says.
    pub fn put(&self, path: &Path, value: &str) -> Result<()> {
        write(path, value).map_err(|err| unwritten(path, value, &err))
    }

    /// Whether the kernel has IPv6 at all.
    pub fn has_ipv6(&self) -> Result<bool> {
        let key = of_interface("ipv6", "all", "disable_ipv6");
        self.known(&key).map(|value| value.is_some())
    }

    /// No router on the link may configure the host (CVE-2020-10749); to be called before the link goes up.
    pub fn refuse_router_advertisements(&self, ifname: &str) -> Result<()> {
        self.put_if_known(&of_interface("ipv6", ifname, "accept_ra"), "0")
    }

    /// The link-local IPv6 address that the link will get is usable at once, without duplicate address detection: until it
    /// is, the kernel asks for no neighbour on behalf of other addresses. For a link of our own making, before it goes up.
    pub fn trust_link_local_address(&self, ifname: &str) -> Result<()> {
        self.put_if_known(&of_interface("ipv6", ifname, "accept_dad"), "0")
    }
}

/// A key may be absent from the kernel, but not from something that hides the kernel's.
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

/// Opens the file where it is procfs' own, and no link has led to another one of its files.
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

/// The command by which a person makes the file say `value`.
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
