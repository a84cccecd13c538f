//! Packets between namespaces, by sockets that are born where they belong.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

use linkspan_netlink::netns::Netns;
use linkspan_runtime::traffic::{at, tcp, udp};
use socket2::{Domain, Protocol, Socket, Type};

/// Sends a word from `from` to `ip` in `to` and back, by UDP and by TCP.
pub fn flows(from: &Netns, to: &Netns, ip: IpAddr) {
    udp(from, to, ip).unwrap_or_else(|err| lost("UDP", ip, &err));
    tcp(from, to, ip).unwrap_or_else(|err| lost("TCP", ip, &err));
}

#[expect(clippy::panic, reason = "lost packets end the test")]
fn lost(protocol: &str, ip: IpAddr, err: &io::Error) {
    panic!("{protocol} to {ip}: {err}");
}

/// A router advertisement (RFC 4861) of the prefix `fd66::/64` and a default route, from the link `index` in `from`.
pub fn advertise_router(from: &Netns, index: u32) -> io::Result<()> {
    const HEADER: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    const PREFIX: [u8; 16] = [3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0];
    let prefix: Ipv6Addr = "fd66::".parse().map_err(io::Error::other)?;
    let message = [&HEADER[..], &PREFIX, &prefix.octets()].concat();
    let raw = || Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6));
    let socket = at(from, raw)?;
    // Only a station of the link itself can send with 255 hops left.
    socket.set_multicast_hops_v6(255)?;
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    socket.send_to(&message, &all_nodes.into()).map(drop)
}
