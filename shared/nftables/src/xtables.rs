//! The table `nat` of iptables-legacy: its chains. Changes are left to `iptables`, which need not run if there is
//! nothing to change.
//!
//! Reading must not create a table. The kernel creates an empty one on any request for a table that the namespace has
//! not used yet. So the names of used tables are read first, from procfs.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for socket options of variable length"
)]

use std::ffi::c_void;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};

use linkspan_protocol::family::Family;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::Error;

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES` of `linux/netfilter_ipv4/ip_tables.h`; IPv6 has the same.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;

/// The table to read.
const NAT: &str = "nat";

/// `XT_TABLE_MAXNAMELEN`
const NAME: usize = 32;
/// Size of `struct ipt_getinfo`, and offsets of its members.
const INFO: usize = NAME + 13 * 4;
const VALID_HOOKS: usize = NAME;
const COUNT: usize = INFO - 8;
const SIZE: usize = INFO - 4;
/// Offset of the entries in `struct ipt_get_entries`: name and size, padded.
const ENTRIES: usize = NAME + 8;

/// A snapshot of the chains of one family's table `nat`; empty if the table was never used.
#[derive(Debug, Default)]
pub struct Nat {
    chains: Vec<String>,
}

impl Nat {
    /// Reads the chains. Skips the entries if their number shows that there are only built-in ones.
    pub fn read(family: Family) -> Result<Self, Error> {
        let entries = nat_entries(family)?;
        Ok(Self {
            chains: chains(&entries.unwrap_or_default(), family),
        })
    }

    /// Returns whether the chain exists.
    pub fn has_chain(&self, chain: &str) -> bool {
        self.chains.iter().any(|found| found == chain)
    }

    /// Returns whether a chain has this prefix.
    pub fn has_chains(&self, beginning: &str) -> bool {
        self.chains.iter().any(|found| found.starts_with(beginning))
    }
}

/// Returns whether one family's table `nat` has the chain.
pub fn nat_has_chain(family: Family, chain: &str) -> Result<bool, Error> {
    Ok(Nat::read(family)?.has_chain(chain))
}

/// The entries of one family's table `nat`; `None` if the table was never used.
pub(crate) fn nat_entries(family: Family) -> Result<Option<Vec<u8>>, Error> {
    if !is_used(NAT, family)? {
        return Ok(None);
    }
    let entries = entries(family);
    let entries = entries.map_err(|errno| Error::new("read", "table nat", errno as i32))?;
    Ok(Some(entries))
}

fn is_used(table: &str, family: Family) -> Result<bool, Error> {
    let names = family.pick(
        "/proc/thread-self/net/ip_tables_names",
        "/proc/thread-self/net/ip6_tables_names",
    );
    let failed = |errno: i32| Error::new("read", names, errno);
    match fs::read_to_string(names) {
        // The kernel or its module lacks the table.
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(false),
        Err(err) if err.kind() == ErrorKind::PermissionDenied => {
            is_there_when_asked(table, family).map_err(|errno| failed(errno as i32))
        }
        Err(err) => Err(failed(err.raw_os_error().unwrap_or_default())),
        Ok(names) => Ok(names.lines().any(|name| name == table)),
    }
}

/// Asks the kernel for the table where the file of names is unreadable: in a namespace that was created together with
/// its user namespace (`unshare -rn`), the file belongs to the machine's root, because no uid was mapped yet.
///
/// Only this request may create an empty table, in an ordinary user's own namespace. A request for entries loads no
/// module; a request for their number would.
fn is_there_when_asked(table: &str, family: Family) -> Result<bool, Errno> {
    match get(
        &socket_of(family)?,
        family,
        GET_ENTRIES,
        &mut named(table, ENTRIES),
    ) {
        Err(Errno::ENOENT | Errno::ENOPROTOOPT) => Ok(false),
        // The table exists with another size than requested.
        Err(Errno::EAGAIN) => Ok(true),
        answer => answer.map(|()| true),
    }
}

/// The table's entries; empty if there are only the hooks' policies and the final entry.
fn entries(family: Family) -> Result<Vec<u8>, Errno> {
    let is_used = |info: &[u8]| {
        let number = |at| u32::from_ne_bytes(bytes(info, at).unwrap_or_default());
        number(COUNT) > number(VALID_HOOKS).count_ones() + 1
    };
    Ok(table(NAT, family, is_used)?.map_or_else(Vec::new, |table| table.entries))
}

/// A table in the kernel's format.
pub(crate) struct Raw {
    /// `struct ipt_getinfo`
    pub(crate) info: Vec<u8>,
    /// Its entries.
    pub(crate) entries: Vec<u8>,
}

/// A table of one family; `None` if it was never used.
pub(crate) fn used_table(name: &str, family: Family) -> Result<Option<Raw>, Error> {
    if !is_used(name, family)? {
        return Ok(None);
    }
    let failed = |errno| Error::new("read", format!("table {name}"), errno as i32);
    match table(name, family, |_| true) {
        // The table vanished between the two requests.
        Err(Errno::ENOENT) => Ok(None),
        found => found.map_err(failed),
    }
}

/// Reads a table; `None` if its description is not `wanted`.
pub(crate) fn table(
    name: &str,
    family: Family,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Option<Raw>, Errno> {
    /// How often the table may grow between the request for its size and the request for its entries.
    const ATTEMPTS: usize = 20;
    let socket = socket_of(family)?;
    for _ in 0..ATTEMPTS {
        let mut info = named(name, INFO);
        get(&socket, family, GET_INFO, &mut info)?;
        if !wanted(&info) {
            return Ok(None);
        }
        let size: [u8; 4] = bytes(&info, SIZE).unwrap_or_default();
        let mut entries = named(name, ENTRIES + u32::from_ne_bytes(size) as usize);
        if let Some(place) = entries.get_mut(NAME..NAME + size.len()) {
            place.copy_from_slice(&size);
        }
        match get(&socket, family, GET_ENTRIES, &mut entries) {
            Err(Errno::EAGAIN) => {}
            done => {
                done?;
                let entries = entries.split_off(ENTRIES);
                return Ok(Some(Raw { info, entries }));
            }
        }
    }
    Err(Errno::EAGAIN)
}

/// The names of the chains in a list of `struct ipt_entry` or `struct ip6t_entry`. A user-defined chain starts with an
/// entry whose target is named `ERROR` and holds the chain's name. The final entry of the list looks the same.
fn chains(mut entries: &[u8], family: Family) -> Vec<String> {
    const LEN: usize = 2;
    /// `struct xt_entry_target` before its own data, in which the name comes after the length.
    const TARGET: usize = 32;
    // Offsets of the target and of the next entry, in an entry.
    let offsets = family.pick(88, 140);
    let mut found = Vec::new();
    while let Some(target) = length(entries, offsets)
        && let Some(next) = length(entries, offsets + LEN)
    {
        let target = entries.get(target..next).unwrap_or_default();
        if word(target, LEN) == Some("ERROR") {
            found.extend(word(target, TARGET).map(str::to_owned));
        }
        if next == 0 {
            break;
        }
        entries = entries.get(next..).unwrap_or_default();
    }
    found.pop();
    found
}

/// The text before a NUL.
fn word(bytes: &[u8], at: usize) -> Option<&str> {
    let text = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()
}

fn length(entries: &[u8], at: usize) -> Option<usize> {
    bytes(entries, at).map(|two| usize::from(u16::from_ne_bytes(two)))
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

/// Any socket of the family will do. A datagram socket needs no `CAP_NET_RAW`.
fn socket_of(family: Family) -> Result<OwnedFd, Errno> {
    let family = family.pick(AddressFamily::Inet, AddressFamily::Inet6);
    socket(
        family,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None::<SockProtocol>,
    )
}

/// A buffer with the table's name at the start.
fn named(table: &str, len: usize) -> Vec<u8> {
    let mut buffer = table.as_bytes().to_vec();
    buffer.resize(len, 0);
    buffer
}

fn get(socket: &OwnedFd, family: Family, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
    let level = family.pick(libc::SOL_IP, libc::SOL_IPV6);
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
