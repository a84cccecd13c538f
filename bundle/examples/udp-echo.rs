//! A UDP server for containers, which Debian's busybox lacks: it sends each datagram back to its sender. The argument
//! is the port, for both families.

use std::io;
use std::net::{Ipv6Addr, UdpSocket};

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with one argument"
)]
fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other("the argument is a port"))?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let mut buffer = [0; 1500];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer)?;
        let (datagram, _) = buffer.split_at(len);
        socket.send_to(datagram, peer)?;
    }
}
