//! A server, and the ways to reach it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use linkspan_cli::traffic::{at, tcp_through, udp_through};
use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;

use crate::wait;
use crate::world::HOST;

/// The wait for a packet that must not arrive. A packet that does arrive takes a fraction of it.
const SILENCE: Duration = Duration::from_millis(40);

const STRAY: &[u8; 5] = b"stray";

/// A server in a namespace, with both protocols and in both families.
#[derive(Debug)]
pub struct Server {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Server {
    /// A server at `address`.
    pub fn new(netns: &Netns, address: SocketAddr) -> Self {
        Self {
            tcp: at(netns, || once_free(|| TcpListener::bind(address))).unwrap(),
            udp: at(netns, || once_free(|| UdpSocket::bind(address))).unwrap(),
        }
    }

    /// A server at `port` of every address of a family.
    pub fn of(netns: &Netns, port: u16, family: Family) -> Self {
        let any = family.unspecified();
        Self::new(netns, SocketAddr::new(any, port))
    }

    /// Asserts that the server gets packets with both protocols. Returns the source that it sees.
    pub fn answers(&self, from: &Netns, address: SocketAddr) -> IpAddr {
        let udp = udp_through(from, &self.udp, address)
            .unwrap_or_else(|err| panic_at("udp", address, &err));
        let tcp = tcp_through(from, &self.tcp, address)
            .unwrap_or_else(|err| panic_at("tcp", address, &err));
        assert_eq!(udp.ip(), tcp.ip(), "{address}");
        tcp.ip()
    }

    /// Asserts that packets to `address` do not reach the server.
    pub fn is_spared(&self, from: &Netns, address: SocketAddr) {
        let unbound = (Family::of(address.ip()).unspecified(), 0);
        let client = at(from, || UdpSocket::bind(unbound)).unwrap();
        // The kernel may already refuse an unreachable destination here.
        drop(client.send_to(STRAY, address));
        let connected = at(from, || TcpStream::connect_timeout(&address, SILENCE));
        self.tcp.set_nonblocking(true).unwrap();
        let accepted = self.tcp.accept().map(|_| ());
        self.tcp.set_nonblocking(false).unwrap();
        assert_eq!(
            accepted.map_err(|err| err.kind()),
            Err(ErrorKind::WouldBlock),
            "tcp to {address}: {connected:?}"
        );
        self.udp.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; STRAY.len()];
        loop {
            match self.udp.recv_from(&mut buffer) {
                // A late packet of an earlier exchange is dropped.
                Ok(_) => assert_ne!(&buffer, STRAY, "udp to {address}"),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
}

/// Binds a port that an earlier server may have released just now. A child of another thread has a copy of that
/// server's socket until it has executed its program.
pub fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let attempt = || match bind() {
        Err(err) if is_taken(&err) => None,
        bound => Some(bound),
    };
    wait::some(attempt).unwrap_or_else(bind)
}

/// A connection finds its own port taken in the same way.
fn is_taken(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable
    )
}

#[expect(clippy::panic, reason = "a packet that is lost ends the test")]
fn panic_at(protocol: &str, address: SocketAddr, err: &io::Error) -> ! {
    panic!("{protocol} to {address}: {err}")
}

/// Asserts that `host_port` leads to `port` of the pod with both protocols and in both families: from the host by its
/// own and its loopback addresses, from `others` and from the pod itself.
pub fn is_published(host: &Netns, others: &[&Netns], pod: &Netns, (host_port, port): (u16, u16)) {
    for (family, lo) in Family::BOTH.into_iter().zip(["127.0.0.1", "::1"]) {
        let server = Server::of(pod, port, family);
        let [lo, node] =
            [lo, HOST[family.pick(0, 1)]].map(|ip| SocketAddr::new(ip.parse().unwrap(), host_port));
        server.answers(host, lo);
        for from in [&[host, pod], others].concat() {
            server.answers(from, node);
        }
    }
}
