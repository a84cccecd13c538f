//! Packets between namespaces, by sockets that are made in the right namespace. The demo and the tests use them as
//! proof.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;

/// The deadline is long enough for the slowest machine; nothing waits for it while packets flow.
const DEADLINE: Duration = Duration::from_secs(10);

/// The wait for one datagram, before the next is sent.
const ATTEMPT: Duration = Duration::from_secs(1);

const WORD: &[u8; 5] = b"hello";

/// A datagram from one namespace to an address of another, and its echo.
pub fn udp(from: &Netns, to: &Netns, ip: IpAddr) -> io::Result<()> {
    let server = at(to, || UdpSocket::bind((ip, 0)))?;
    udp_through(from, &server, server.local_addr()?).map(drop)
}

/// A datagram from a namespace to `address`, which must reach `server`, and its echo. Returns the sender that the
/// server saw. It tries again for a while, because the kernel may drop one while it resolves the neighbour.
pub fn udp_through(
    from: &Netns,
    server: &UdpSocket,
    address: SocketAddr,
) -> io::Result<SocketAddr> {
    let client = at(from, || {
        UdpSocket::bind((Family::of(address.ip()).unspecified(), 0))
    })?;
    client.connect(address)?;
    for socket in [&client, server] {
        socket.set_read_timeout(Some(ATTEMPT))?;
    }
    until_heard(DEADLINE, || echo(&client, server))
}

/// Attempts it again while it waits in vain for a packet, for `patience` in all.
pub fn until_heard<T>(patience: Duration, attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + patience;
    loop {
        match attempt() {
            Err(err) if is_passing(&err) && Instant::now() < end => {}
            heard => return heard,
        }
    }
}

/// A signal to the process interrupts a read with a timeout, even if its handler restarts calls (signal(7)).
fn is_passing(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn echo(client: &UdpSocket, server: &UdpSocket) -> io::Result<SocketAddr> {
    let mut buffer = [0; WORD.len()];
    client.send(WORD)?;
    let (_, peer) = server.recv_from(&mut buffer)?;
    server.send_to(&buffer, peer)?;
    client.recv(&mut buffer)?;
    expect_word(buffer).map(|()| peer)
}

/// A connection from one namespace to an address of another, a word there and its echo.
pub fn tcp(from: &Netns, to: &Netns, ip: IpAddr) -> io::Result<()> {
    let listener = at(to, || TcpListener::bind((ip, 0)))?;
    tcp_through(from, &listener, listener.local_addr()?).map(drop)
}

/// A connection from a namespace to `address`, which must reach `listener`, and a word's echo. Returns the sender that
/// the server saw.
pub fn tcp_through(
    from: &Netns,
    listener: &TcpListener,
    address: SocketAddr,
) -> io::Result<SocketAddr> {
    let mut client = connect(from, address)?;
    client.write_all(WORD)?;
    let (mut served, peer) = listener.accept()?;
    for stream in [&client, &served] {
        stream.set_read_timeout(Some(DEADLINE))?;
    }
    let mut buffer = [0; WORD.len()];
    served.read_exact(&mut buffer)?;
    served.write_all(&buffer)?;
    client.read_exact(&mut buffer)?;
    expect_word(buffer).map(|()| peer)
}

/// A TCP connection from a namespace; the kernel reports an unanswered ARP request by itself.
pub fn connect(from: &Netns, address: SocketAddr) -> io::Result<TcpStream> {
    at(from, || TcpStream::connect_timeout(&address, DEADLINE))
}

/// Makes a socket in a namespace.
pub fn at<T>(netns: &Netns, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    netns.scope(make).map_err(io::Error::other)?
}

fn expect_word(buffer: [u8; WORD.len()]) -> io::Result<()> {
    if &buffer == WORD {
        Ok(())
    } else {
        Err(io::Error::other(format!("garbled echo {buffer:?}")))
    }
}
