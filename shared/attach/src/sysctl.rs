//! Files below `/proc/sys/net`, those of the namespace that the thread is in. Interface names may contain dots.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};

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
    let text = fs::read_to_string(path).map_err(|err| {
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
    fs::write(path, value).map_err(|err| {
        Failure::new(
            ErrorCode::INTERNAL,
            format!("write {value} to {}: {err}", path.display()),
        )
        .hint("run as root with a writable /proc/sys")
    })
}

/// Like [`set`], for a key that this kernel may lack: then there is nothing to be afraid of either.
pub fn set_if_known(path: &Path, value: &str) -> Result<()> {
    match fs::metadata(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        _ => set(path, value),
    }
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
    fn an_unknown_key_matters_only_to_set() {
        let path = Path::new("/proc/sys/net/ipv9/conf/x/y");
        assert!(set_if_known(path, "1").is_ok());
        let failure = set(path, "1").unwrap_err();
        assert!(failure.message().contains("/proc/sys/net/ipv9/conf/x/y"));
    }
}
