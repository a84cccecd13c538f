//! Packets between namespaces, from sockets created in the right namespace.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use linkspan_cli::traffic::{at, tcp, udp};
use linkspan_netlink::addr::Addr;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::watch::Watch;
use linkspan_protocol::family::Family;
use socket2::{Domain, Protocol, Socket, Type};

/// Sends a word from `from` to `ip` in `to` and back, with UDP and TCP.
pub fn flows(from: &Netns, to: &Netns, ip: IpAddr) {
    udp(from, to, ip).unwrap_or_else(|err| lost("UDP", ip, &err));
    tcp(from, to, ip).unwrap_or_else(|err| lost("TCP", ip, &err));
}

#[expect(clippy::panic, reason = "lost packets end the test")]
fn lost(protocol: &str, ip: IpAddr, err: &io::Error) {
    panic!("{protocol} to {ip}: {err}");
}

/// Waits until a link has its link-local IPv6 address, which a router must send from. Returns the link's index.
pub fn wait_for_link_local(netns: &Netns, name: &str) -> u32 {
    /// `RT_SCOPE_LINK` of linux/rtnetlink.h
    const LINK: u8 = 253;
    let mut watch = Watch::open(Some(netns)).unwrap();
    let rtnl = Rtnl::open(netns).unwrap();
    let link = rtnl.link_by_name(name).unwrap().unwrap();
    let there = watch.until(Duration::from_secs(20), || {
        let addrs = link.addrs(Some(Family::V6))?;
        let usable = |addr: &Addr| addr.scope == LINK && !addr.tentative;
        Ok(addrs.iter().any(usable).then_some(()))
    });
    there.unwrap().unwrap();
    link.index
}

/// A router advertisement (RFC 4861) of the prefix `fd66::/64`, from the link `index` in `from`, and of a default
/// route for this many seconds; none with 0.
pub fn advertise_router(from: &Netns, index: u32, seconds: u16) -> io::Result<()> {
    const TYPE_AND_HOPS: [u8; 6] = [134, 0, 0, 0, 64, 0];
    const TIMES: [u8; 8] = [0; 8];
    const PREFIX: [u8; 16] = [3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0];
    let prefix: Ipv6Addr = "fd66::".parse().map_err(io::Error::other)?;
    let header = [&TYPE_AND_HOPS[..], &seconds.to_be_bytes(), &TIMES].concat();
    let message = [&header[..], &PREFIX, &prefix.octets()].concat();
    let raw = || Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6));
    let socket = at(from, raw)?;
    // Only stations of the link itself can send with a hop limit of 255.
    socket.set_multicast_hops_v6(255)?;
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    socket.send_to(&message, &all_nodes.into()).map(drop)
}
