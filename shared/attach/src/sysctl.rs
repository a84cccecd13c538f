//! Files below `/proc/sys/net`, those of the namespace that the thread is in. Interface names may contain dots.
//!
//! What is mounted over `/proc/sys` is not the kernel (CVE-2025-52881): every file is asked, once it is open and before
//! it is read or written, whether procfs has it, and none is ever created or cut short.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs, statfs};

/// The file of `key` for one interface; `family` is `ipv4` or `ipv6`.
pub fn of_interface(family: &str, ifname: &str, key: &str) -> PathBuf {
    Path::new("/proc/sys/net")
        .join(family)
        .join("conf")
        .join(ifname)
        .join(key)
}

/// What the file says.
pub fn get(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(of_the_kernel)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|err| {
            Failure::new(
                ErrorCode::INTERNAL,
                format!("read {}: {err}", path.display()),
            )
        })?;
    Ok(text.trim().to_owned())
}

/// Makes the file say `value`; one that does already is left alone, so that a read-only `/proc/sys` may do.
pub fn set(path: &Path, value: &str) -> Result<()> {
    if get(path).is_ok_and(|now| now == value) {
        return Ok(());
    }
    let opened = OpenOptions::new().write(true).open(path);
    let written = opened
        .and_then(of_the_kernel)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|err| {
        Failure::new(
            ErrorCode::INTERNAL,
            format!("write {value} to {}: {err}", path.display()),
        )
        .hint("run as root with a writable /proc/sys")
    })
}

/// The file itself, if it is procfs' own.
fn of_the_kernel(file: File) -> io::Result<File> {
    known_to_be(fstatfs(file.as_fd())?.filesystem_type())?;
    Ok(file)
}

fn known_to_be(found: FsType) -> io::Result<()> {
    if found == PROC_SUPER_MAGIC {
        return Ok(());
    }
    Err(io::Error::other(
        "something else than procfs is mounted there",
    ))
}

/// Like [`set`], for a key that this kernel may lack: then there is nothing to be afraid of either.
pub fn set_if_known(path: &Path, value: &str) -> Result<()> {
    match fs::metadata(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => absent(path),
        _ => set(path, value),
    }
}

/// A key may be absent from the kernel, but not from something that hides the kernel's.
fn absent(path: &Path) -> Result<()> {
    let root = Path::new("/proc/sys");
    let found = statfs(root).map_err(io::Error::from);
    let genuine = found.and_then(|found| known_to_be(found.filesystem_type()));
    genuine.map_err(|err| {
        Failure::new(
            ErrorCode::INTERNAL,
            format!("find {}: {}: {err}", path.display(), root.display()),
        )
        .hint("unmount what hides /proc/sys")
    })
}

/// No router on the link may configure the host (CVE-2020-10749); to be called before the link goes up.
pub fn refuse_router_advertisements(ifname: &str) -> Result<()> {
    set_if_known(&of_interface("ipv6", ifname, "accept_ra"), "0")
}

/// The link-local IPv6 address that the link will get is usable at once, without duplicate address detection: until it
/// is, the kernel asks for no neighbour on behalf of other addresses. For a link of our own making, before it goes up.
pub fn trust_link_local_address(ifname: &str) -> Result<()> {
    set_if_known(&of_interface("ipv6", ifname, "accept_dad"), "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_stay_one_component() {
        assert_eq!(
            of_interface("ipv6", "cni0.100", "accept_ra"),
            Path::new("/proc/sys/net/ipv6/conf/cni0.100/accept_ra")
        );
    }

    #[test]
    fn a_file_that_is_not_the_kernels_is_neither_read_nor_written() {
        let path = std::env::temp_dir().join(format!("sysctl-{}", std::process::id()));
        fs::write(&path, "0").unwrap();
        for failure in [get(&path).unwrap_err(), set(&path, "1").unwrap_err()] {
            assert!(failure.message().contains("else than procfs"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_unknown_key_matters_only_to_set() {
        let path = Path::new("/proc/sys/net/ipv9/conf/x/y");
        assert!(set_if_known(path, "1").is_ok());
        let failure = set(path, "1").unwrap_err();
        assert!(failure.message().contains("/proc/sys/net/ipv9/conf/x/y"));
    }
}
