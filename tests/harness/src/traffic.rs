//! Packets between namespaces, by sockets that are born where they belong.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use linkspan_netlink::netns::Netns;
use socket2::{Domain, Protocol, Socket, Type};

/// Long enough for the slowest machine; nothing waits for it when packets flow.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends a word from `from` to `ip` in `to` and back, by UDP and by TCP.
pub fn flows(from: &Netns, to: &Netns, ip: IpAddr) {
    udp(from, to, ip).unwrap_or_else(|err| lost("UDP", ip, &err));
    tcp(from, to, ip).unwrap_or_else(|err| lost("TCP", ip, &err));
}

#[expect(clippy::panic, reason = "lost packets end the test")]
fn lost(protocol: &str, ip: IpAddr, err: &io::Error) {
    panic!("{protocol} to {ip}: {err}");
}

/// A datagram there and its echo.
pub fn udp(from: &Netns, to: &Netns, ip: IpAddr) -> io::Result<()> {
    let server = at(to, || UdpSocket::bind((ip, 0)))?;
    let client = at(from, || UdpSocket::bind((unspecified(ip), 0)))?;
    client.connect(server.local_addr()?)?;
    client.set_read_timeout(Some(DEADLINE))?;
    server.set_read_timeout(Some(DEADLINE))?;
    client.send(b"hello")?;
    let mut buffer = [0; 5];
    let (_, peer) = server.recv_from(&mut buffer)?;
    server.send_to(&buffer, peer)?;
    client.recv(&mut buffer)?;
    expect_hello(buffer)
}

/// A connection, a word there and its echo.
pub fn tcp(from: &Netns, to: &Netns, ip: IpAddr) -> io::Result<()> {
    let listener = at(to, || TcpListener::bind((ip, 0)))?;
    let mut client = connect(from, listener.local_addr()?)?;
    client.write_all(b"hello")?;
    let (mut served, _) = listener.accept()?;
    let mut buffer = [0; 5];
    served.read_exact(&mut buffer)?;
    served.write_all(&buffer)?;
    client.read_exact(&mut buffer)?;
    expect_hello(buffer)
}

/// A TCP connection from `from`; the kernel itself tells when nobody answers its ARP.
pub fn connect(from: &Netns, address: SocketAddr) -> io::Result<TcpStream> {
    at(from, || TcpStream::connect_timeout(&address, DEADLINE))
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

fn at<T>(netns: &Netns, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    netns.scope(make).map_err(io::Error::other)?
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from([0u8; 4]),
        IpAddr::V6(_) => IpAddr::from([0u8; 16]),
    }
}

fn expect_hello(buffer: [u8; 5]) -> io::Result<()> {
    if &buffer == b"hello" {
        Ok(())
    } else {
        Err(io::Error::other(format!("garbled echo {buffer:?}")))
    }
}
