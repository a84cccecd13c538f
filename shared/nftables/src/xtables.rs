//! The older packet filter of `iptables-legacy`, only to see whether it has a chain: whoever wants to change it executes
//! `iptables`, and need not where there is nothing to change.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for socket options of variable length"
)]

use std::ffi::c_void;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::Error;

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES` of `linux/netfilter_ipv4/ip_tables.h`; IPv6 has the same.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;

/// `XT_TABLE_MAXNAMELEN`
const NAME: usize = 32;
/// Size of `struct ipt_getinfo`, whose last member is the size of the table's entries.
const INFO: usize = NAME + 13 * 4;
/// Offset of the entries in `struct ipt_get_entries`: name and size, padded.
const ENTRIES: usize = NAME + 8;

/// Whether the table `nat` of one family has that chain. A table that nobody has used yet is not made by looking.
pub fn nat_has_chain(six: bool, chain: &str) -> Result<bool, Error> {
    // A chain begins with a pseudo target that holds its name, ended by a NUL.
    nat_has(six, &[chain.as_bytes(), &[0]].concat())
}

/// Whether it may have chains whose names begin so.
pub fn nat_may_have_chains(six: bool, beginning: &str) -> Result<bool, Error> {
    nat_has(six, beginning.as_bytes())
}

fn nat_has(six: bool, name: &[u8]) -> Result<bool, Error> {
    let entries = nat_entries(six)?.unwrap_or_default();
    Ok(entries.windows(name.len()).any(|window| window == name))
}

/// The entries of table `nat` of one family; `None` where nobody has used the table.
pub(crate) fn nat_entries(six: bool) -> Result<Option<Vec<u8>>, Error> {
    if !nat_is_used(six)? {
        return Ok(None);
    }
    let mut entries =
        entries(six).map_err(|errno| Error::new("read", "table nat", errno as i32))?;
    entries.drain(..ENTRIES);
    Ok(Some(entries))
}

fn nat_is_used(six: bool) -> Result<bool, Error> {
    let names = if six {
        "/proc/self/net/ip6_tables_names"
    } else {
        "/proc/self/net/ip_tables_names"
    };
    match fs::read_to_string(names) {
        // A kernel without it, or without its module.
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(false),
        Err(err) => {
            let errno = err.raw_os_error().unwrap_or_default();
            Err(Error::new("read", names, errno))
        }
        Ok(names) => Ok(names.lines().any(|name| name == "nat")),
    }
}

fn entries(six: bool) -> Result<Vec<u8>, Errno> {
    /// How often the table may grow between asking for its size and reading it.
    const ATTEMPTS: usize = 20;
    let family = if six {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let socket = socket(
        family,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    for _ in 0..ATTEMPTS {
        let mut info = named(INFO);
        read(&socket, six, GET_INFO, &mut info)?;
        let size = info.last_chunk::<4>().copied().unwrap_or_default();
        let mut entries = named(ENTRIES + u32::from_ne_bytes(size) as usize);
        if let Some(place) = entries.get_mut(NAME..NAME + 4) {
            place.copy_from_slice(&size);
        }
        match read(&socket, six, GET_ENTRIES, &mut entries) {
            Err(Errno::EAGAIN) => {}
            done => return done.map(|()| entries),
        }
    }
    Err(Errno::EAGAIN)
}

/// A buffer that begins with the table's name.
fn named(len: usize) -> Vec<u8> {
    let mut buffer = b"nat".to_vec();
    buffer.resize(len, 0);
    buffer
}

fn read(socket: &OwnedFd, six: bool, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
    let level = if six { libc::SOL_IPV6 } else { libc::SOL_IP };
    let mut len = libc::socklen_t::try_from(buffer.len()).map_err(|_too_long| Errno::E2BIG)?;
    // SAFETY: the kernel writes at most `len` bytes, which is the buffer's length, and the buffer outlives the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast::<c_void>(),
            &raw mut len,
        )
    };
    Errno::result(done).map(drop)
}
