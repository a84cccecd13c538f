//! A DHCP server for tests, which misbehaves as configured, and reports the received messages.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::sys::socket::sockopt::Ipv4PacketInfo;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Longer than the slowest machine needs.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const RELEASE: u8 = 7;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The server's address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The server's behaviour.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is done wrong"
)]
pub(crate) struct Manners {
    /// Option 51.
    pub(crate) lease: u32,
    /// The number of addresses.
    pub(crate) pool: u8,
    /// More options of its answers.
    pub(crate) options: Vec<(u8, Vec<u8>)>,
    /// It ignores unicast messages.
    pub(crate) deaf_to_unicast: bool,
    /// It ignores all messages.
    pub(crate) deaf: bool,
    /// It gives addresses, but its answer is lost.
    pub(crate) mute: bool,
    /// It always answers by broadcast.
    pub(crate) shouts: bool,
    /// It rejects clients that have an address.
    pub(crate) rejects: bool,
    /// The number of malformed frames before each answer.
    pub(crate) noise: usize,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) client: Ipv4Addr,
    pub(crate) broadcast: bool,
    pub(crate) options: BTreeMap<u8, Vec<u8>>,
    /// Their codes in the received order.
    pub(crate) order: Vec<u8>,
    pub(crate) length: usize,
}

pub(crate) struct Server {
    pub(crate) manners: Arc<Mutex<Manners>>,
    seen: Receiver<Seen>,
    leases: Arc<Mutex<BTreeMap<Vec<u8>, Ipv4Addr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on the link with that name, in this thread's namespace.
    pub(crate) fn start(link: &str, manners: Manners) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.bind_device(Some(link.as_bytes())).unwrap();
        setsockopt(&socket, Ipv4PacketInfo, &true).unwrap();
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67);
        socket.bind(&any.into()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let manners = Arc::new(Mutex::new(manners));
        let (tell, seen) = channel();
        let leases = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            socket,
            manners: Arc::clone(&manners),
            leases: Arc::clone(&leases),
            tell,
        };
        let ended = Arc::clone(&stop);
        let thread = Builder::new().spawn(move || work.serve(&ended)).unwrap();
        Self {
            manners,
            seen,
            leases,
            stop,
            thread: Some(thread),
        }
    }

    /// The next message of that kind.
    pub(crate) fn next(&self, kind: u8) -> Seen {
        loop {
            let seen = self.seen.recv_timeout(DEADLINE).unwrap();
            if seen.kind == kind {
                return seen;
            }
        }
    }

    pub(crate) fn forget_seen(&self) {
        while self.seen.try_recv().is_ok() {}
    }

    /// The number of addresses in use.
    pub(crate) fn given(&self) -> usize {
        self.leases.lock().unwrap().len()
    }

    pub(crate) fn now(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().unwrap().join());
    }
}

struct Work {
    socket: Socket,
    manners: Arc<Mutex<Manners>>,
    leases: Arc<Mutex<BTreeMap<Vec<u8>, Ipv4Addr>>>,
    tell: Sender<Seen>,
}

impl Work {
    fn serve(&self, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            let mut buffer = [0; 2048];
            if let Some((length, source, destination)) = self.receive(&mut buffer) {
                let bytes = &buffer[..length];
                let seen = read(bytes, source, destination);
                self.answer(bytes, &seen);
                drop(self.tell.send(seen));
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> Option<(usize, Ipv4Addr, Ipv4Addr)> {
        let mut space = nix::cmsg_space!(nix::libc::in_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let got = recvmsg::<SockaddrIn>(fd, &mut slices, Some(&mut space), MsgFlags::empty());
        let got = got.ok()?;
        let destination = got.cmsgs().unwrap().find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)))
            }
            _ => None,
        });
        Some((got.bytes, got.address?.ip(), destination?))
    }

    fn answer(&self, message: &[u8], seen: &Seen) {
        let manners = self.manners.lock().unwrap().clone();
        let client = seen.options[&61].clone();
        let mut leases = self.leases.lock().unwrap();
        if seen.kind == RELEASE {
            // Like dnsmasq and others, it accepts this only from the address itself.
            if seen.source == seen.client && leases.get(&client) == Some(&seen.client) {
                leases.remove(&client);
            }
            return;
        }
        let is_unicast = seen.destination == ADDRESS;
        if manners.deaf || (manners.deaf_to_unicast && is_unicast) {
            return;
        }
        let free = || {
            let all = (10..10 + manners.pool).map(|last| Ipv4Addr::new(10, 77, 0, last));
            let mut free = all.filter(|ip| !leases.values().any(|taken| taken == ip));
            free.next()
        };
        let known = leases.get(&client).copied();
        let Some(address) = known.or_else(free) else {
            return;
        };
        let has_one = !seen.client.is_unspecified();
        let kind = match seen.kind {
            DISCOVER => OFFER,
            _ if manners.rejects && has_one => NAK,
            _ if has_one && seen.client != address => NAK,
            _ => ACK,
        };
        if kind == ACK {
            leases.insert(client, address);
            if manners.mute {
                return;
            }
        }
        let reply = reply(message, kind, address, &manners);
        let to = if has_one && kind == ACK && !manners.shouts {
            seen.client
        } else {
            Ipv4Addr::BROADCAST
        };
        let to = SocketAddrV4::new(to, 68).into();
        for turn in 0..manners.noise {
            let mut bad = reply.clone();
            match turn % 4 {
                0 => bad.truncate(turn % 300),
                1 => bad[4] ^= 1,
                2 => bad[236] ^= 1,
                _ => bad[240..].fill(u8::try_from(turn % 256).unwrap()),
            }
            drop(self.socket.send_to(&bad, &to));
        }
        drop(self.socket.send_to(&reply, &to));
    }
}

fn reply(message: &[u8], kind: u8, address: Ipv4Addr, manners: &Manners) -> Vec<u8> {
    let mut reply = message[..240].to_vec();
    reply[0] = 2;
    reply[16..20].copy_from_slice(&address.octets());
    let mut options = vec![
        (53, vec![kind]),
        (54, ADDRESS.octets().to_vec()),
        (51, manners.lease.to_be_bytes().to_vec()),
        (1, vec![255, 255, 255, 0]),
    ];
    if kind == NAK {
        options.truncate(2);
        options.push((56, b"no such lease".to_vec()));
        reply[16..20].fill(0);
    } else {
        options.extend(manners.options.clone());
    }
    for (code, value) in options {
        reply.extend([code, u8::try_from(value.len()).unwrap()]);
        reply.extend(value);
    }
    reply.push(255);
    reply
}

fn read(message: &[u8], source: Ipv4Addr, destination: Ipv4Addr) -> Seen {
    let (mut options, mut order, mut at) = (BTreeMap::new(), Vec::new(), 240);
    while message[at] != 255 {
        let length = usize::from(message[at + 1]);
        options.insert(message[at], message[at + 2..at + 2 + length].to_vec());
        order.push(message[at]);
        at += 2 + length;
    }
    Seen {
        kind: options[&53][0],
        source,
        destination,
        client: <[u8; 4]>::try_from(&message[12..16]).unwrap().into(),
        broadcast: message[10] & 0x80 != 0,
        options,
        order,
        length: message.len(),
    }
}
