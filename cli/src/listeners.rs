//! Processes of the host that listen on a published port. They get none of its packets: those go to the container.
//!
//! The sockets are read from procfs, not over `sock_diag`: asking that makes the kernel load a module for each protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use linkspan_runtime::Result;

use crate::suite::Port;

/// A socket that is bound to a published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// Absent if it cannot be seen, or is in another PID namespace.
    pub(crate) process: Option<Process>,
}

/// The first process that has the socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

/// A socket that receives packets for its address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    protocol: &'static str,
    address: SocketAddr,
    inode: u64,
}

/// The listeners on each of the ports.
pub(crate) fn of(ports: &[Port]) -> Result<Vec<Vec<Listener>>> {
    let sockets = sockets(&ports.iter().map(|port| port.protocol).collect())?;
    let taken = |port: &Port| {
        let on_port = |socket: &&Socket| takes(socket, port, &sockets);
        sockets.iter().filter(on_port).collect::<Vec<_>>()
    };
    let taken: Vec<Vec<&Socket>> = ports.iter().map(taken).collect();
    let inodes = taken.iter().flatten().map(|socket| socket.inode).collect();
    let holders = holders(&inodes);
    let listener = |socket: &&Socket| Listener {
        address: socket.address,
        process: holders.get(&socket.inode).cloned(),
    };
    let listeners = |sockets: &Vec<&Socket>| {
        // Servers have one socket for each of their threads (SO_REUSEPORT).
        let unique: BTreeSet<Listener> = sockets.iter().map(listener).collect();
        unique.into_iter().collect()
    };
    Ok(taken.iter().map(listeners).collect())
}

/// Returns whether the socket would get packets to the published port. A socket on all IPv6 addresses gets those of
/// IPv4, too, unless another one is bound to these. (The kernel refuses a dual-stack socket beside that one.)
fn takes(socket: &Socket, port: &Port, all: &[Socket]) -> bool {
    let (own, host) = (socket.address, port.host);
    if (socket.protocol, own.port()) != (port.protocol, host.port()) {
        return false;
    }
    if own.is_ipv6() == host.is_ipv6() {
        return own.ip() == host.ip() || own.ip().is_unspecified() || host.ip().is_unspecified();
    }
    let ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), own.port());
    let has_ipv4 = |one: &Socket| (one.protocol, one.address) == (socket.protocol, ipv4);
    own.is_ipv6() && own.ip().is_unspecified() && !all.iter().any(has_ipv4)
}

/// The sockets of this network namespace that wait for packets by these protocols.
fn sockets(protocols: &BTreeSet<&'static str>) -> Result<Vec<Socket>> {
    const LISTEN: &str = "0A";
    /// Bound, but not connected (`TCP_CLOSE`).
    const OPEN: &str = "07";
    let mut found = Vec::new();
    for protocol in protocols {
        let (files, state): (&[&str], _) = match *protocol {
            "tcp" => (&["tcp", "tcp6"], LISTEN),
            "udp" => (&["udp", "udp6"], OPEN),
            _ => (&[], ""),
        };
        for file in files {
            let text = read(file)?;
            let lines = text.lines().skip(1);
            found.extend(lines.filter_map(|line| socket(protocol, state, line)));
        }
        if *protocol == "sctp" {
            let text = read("sctp/eps")?;
            found.extend(text.lines().skip(1).flat_map(endpoint));
        }
    }
    Ok(found)
}

/// A file of the network namespace; empty if this kernel lacks it.
fn read(name: &str) -> Result<String> {
    let path = format!("/proc/self/net/{name}");
    match fs::read_to_string(&path) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(linkspan_runtime::io(format!("read {path}"))),
    }
}

/// A line of `tcp`, `udp` and their like: number, local address, remote address, state, and further on the inode.
fn socket(protocol: &'static str, state: &str, line: &str) -> Option<Socket> {
    const INODE: usize = 9;
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    (*fields.get(3)? == state).then_some(())?;
    let (ip, port) = fields.get(1)?.split_once(':')?;
    Some(Socket {
        protocol,
        address: SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?),
        inode: fields.get(INODE)?.parse().ok()?,
    })
}

/// An address as the kernel prints it there: words of four bytes, each in the order of this machine.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        // An IPv4 address on an IPv6 socket counts as IPv4.
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_canonical()),
        _ => None,
    }
}

/// A line of `sctp/eps`, for each of its addresses: two pointers, style, state, hash, port, user, inode, addresses.
fn endpoint(line: &str) -> Vec<Socket> {
    const LISTEN: &str = "10";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, _, state, _, port, _, inode, addresses @ ..] = &*fields else {
        return Vec::new();
    };
    let (Ok(port), Ok(inode)) = (port.parse(), inode.parse()) else {
        return Vec::new();
    };
    let ips = addresses.iter().filter_map(|ip| ip.parse().ok());
    let socket = |ip| Socket {
        protocol: "sctp",
        address: SocketAddr::new(ip, port),
        inode,
    };
    ips.map(socket).filter(|_| *state == LISTEN).collect()
}

/// The first process of each socket, as far as they may be seen.
fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Process> {
    let mut found = BTreeMap::new();
    if inodes.is_empty() {
        return found;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in processes {
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten();
        for file in files.flatten() {
            let inode = fs::read_link(file.path()).ok();
            let inode = inode.and_then(|link| inode_of(link.to_str()?));
            let Some(inode) = inode.filter(|inode| inodes.contains(inode)) else {
                continue;
            };
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let command = command.trim_end().to_owned();
            found.entry(inode).or_insert(Process { pid, command });
        }
    }
    found
}

/// The inode in a link such as `socket:[4711]`.
fn inode_of(link: &str) -> Option<u64> {
    let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_line(line: &str) -> Option<String> {
        let found = socket("tcp", "0A", line)?;
        Some(format!("{} {}", found.address, found.inode))
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_procfs_are_read() {
        let ipv4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1151 1 00000000d8f1f4e1 100 0 0 10 0";
        assert_eq!(of_line(ipv4).as_deref(), Some("127.0.0.1:8080 1151"));
        assert_eq!(of_line(&ipv4.replace(" 0A ", " 01 ")), None);
        let ipv6 = "   1: B80D01200000000000000000D2040000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7 1 0 100 0 0 10 0";
        let read = of_line(ipv6);
        assert_eq!(read.as_deref(), Some("[2001:db8::4d2]:80 7"));
        let mapped = ipv4.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert_eq!(of_line(&mapped).as_deref(), Some("127.0.0.1:8080 1151"));
        for broken in ["", "0: 0100007F", "0: 01:1F90 0:0 0A"] {
            assert_eq!(of_line(broken), None);
        }
    }

    /// The machines of the tests have no SCTP; the line is that of `sctp_eps_seq_show`.
    #[test]
    fn endpoints_of_sctp_have_several_addresses() {
        let line = "ffff8800 ffff8801 2   10  27   9999      0 4711 192.0.2.1 2001:db8::1 ";
        let found = endpoint(line);
        let addresses: Vec<String> = found.iter().map(|s| s.address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1:9999", "[2001:db8::1]:9999"]);
        assert_eq!(found[0].inode, 4711);
        assert!(endpoint(&line.replace(" 10 ", " 7 ")).is_empty());
    }

    #[test]
    fn all_of_ipv6_includes_ipv4_unless_that_is_another_sockets() {
        let at = |address: &str| Socket {
            protocol: "tcp",
            address: address.parse().unwrap(),
            inode: 1,
        };
        let port = |host: &str| Port {
            backend: "nftables",
            protocol: "tcp",
            host: host.parse().unwrap(),
            container: "10.1.0.2:80".parse().unwrap(),
            owner: Default::default(),
            gone: None,
        };
        for (socket, host, expected) in [
            ("0.0.0.0:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "192.0.2.1:80", false),
            ("0.0.0.0:80", "0.0.0.0:81", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::]:80", "127.0.0.1:80", true),
        ] {
            let found = takes(&at(socket), &port(host), &[at(socket)]);
            assert_eq!(found, expected, "{socket} {host}");
        }
        let both = [at("[::]:80"), at("0.0.0.0:80")];
        assert!(!takes(&both[0], &port("127.0.0.1:80"), &both));
    }
}
