//! Tables of calls, and the calls.
//!
//! A line of a table is a call: the caller and its address, the called address, the server and its listening address,
//! and the source that the server sees. `-` as the server means that there is none, and the call must be refused. Each
//! line is a call with TCP and one with UDP, unless its last word names the protocol.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use linkspan_cli::traffic::{at, until_heard};
use linkspan_harness::server::once_free;
use linkspan_harness::table::netfilter;
use linkspan_netlink::netns::Netns;
use linkspan_nftables::conntrack::Flow;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::answer::Answer;
use crate::stage::Stage;

/// Long enough for the slowest machine; nothing waits for it when packets flow.
const DEADLINE: Duration = Duration::from_secs(3);

/// The wait for one datagram, before the next is sent: the kernel may drop one while it resolves its neighbour.
const ATTEMPT: Duration = Duration::from_millis(500);

/// How often each side speaks, and is heard, in a turn.
const ROUNDS: u8 = 3;

/// The first word of a UDP caller, which may come more than once.
const HELLO: [u8; 2] = [b'h', 0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// The side that speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Caller,
    Server,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    pub(crate) transport: Transport,
    pub(crate) caller: &'a str,
    /// The caller's address; absent if the kernel may choose.
    pub(crate) from: Option<SocketAddr>,
    /// The called address.
    pub(crate) to: SocketAddr,
    /// The server and its listening address; absent for a call without a server.
    pub(crate) server: Option<(&'a str, SocketAddr)>,
    /// The source that the server should see.
    pub(crate) seen: Option<IpAddr>,
}

/// The calls of a table.
pub(crate) fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    let lines = table.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(Row::parse)
}

/// The answers to the calls of a table.
pub(crate) fn answers(stage: &Stage<'_>, table: &str) -> Vec<Answer> {
    let answer = |row: Row<'_>| Answer {
        what: row.to_string(),
        right: row.right(),
        got: got(row.is_answered(stage)),
    };
    rows(table).map(answer).collect()
}

/// The outcome of a call, in a few words.
pub(crate) fn got(heard: io::Result<IpAddr>) -> String {
    match heard {
        Ok(seen) => format!("seen as {seen}"),
        Err(err) if err.kind() == ErrorKind::ConnectionRefused => "refused".to_owned(),
        Err(err) if is_timeout(&err) => "lost".to_owned(),
        Err(err) => err.to_string(),
    }
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Vec<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = |word: &str| word.parse().expect("an address with a port");
        let row = |transport| Self {
            transport,
            caller: words[0],
            from: Some(address(words[1])),
            to: address(words[2]),
            server: (words[3] != "-").then(|| (words[3], address(words[4]))),
            seen: words[5].parse().ok(),
        };
        match words.get(6) {
            Some(&"tcp") => vec![row(Transport::Tcp)],
            Some(&"udp") => vec![row(Transport::Udp)],
            _ => [Transport::Tcp, Transport::Udp].map(row).to_vec(),
        }
    }

    pub(crate) fn right(&self) -> String {
        let seen = self.seen.map(|seen| format!("seen as {seen}"));
        seen.unwrap_or_else(|| "refused".to_owned())
    }

    /// The source that the server saw, after both have heard each other.
    pub(crate) fn is_answered(&self, stage: &Stage<'_>) -> io::Result<IpAddr> {
        let mut conversation = Conversation::open(stage, self)?;
        conversation.speak(First::Server)?;
        Ok(conversation.seen.ip())
    }
}

impl std::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{transport}, {} ", self.caller)?;
        if let Some(from) = self.from {
            write!(f, "at {from} ")?;
        }
        write!(f, "calls {}", self.to)?;
        if let Some((server, address)) = self.server {
            write!(f, " ({server} at {address})")?;
        }
        Ok(())
    }
}

/// A connection, or a flow of datagrams that both sides treat as one.
#[derive(Debug)]
pub(crate) struct Conversation {
    caller: Socket,
    server: Socket,
    /// The source that the server sees.
    pub(crate) seen: SocketAddr,
    said: u8,
}

impl Conversation {
    pub(crate) fn open(stage: &Stage<'_>, row: &Row<'_>) -> io::Result<Self> {
        let caller = row.caller_socket(stage)?;
        let Some((name, address)) = row.server else {
            return Err(refusal(row, &caller));
        };
        let listener = row.listener(stage.netns(name), address)?;
        let (server, seen) = match row.transport {
            Transport::Tcp => {
                once_free(|| caller.connect_timeout(&row.to.into(), DEADLINE))?;
                listener.accept()?
            }
            Transport::Udp => hello(row, &caller, listener)?,
        };
        for socket in [&caller, &server] {
            socket.set_read_timeout(Some(DEADLINE))?;
        }
        let (seen, own) = (socket_addr(&seen)?, socket_addr(&caller.local_addr()?)?);
        if seen.ip() == own.ip() && seen.port() != own.port() {
            return Err(io::Error::other(format!("seen as {seen}, and it is {own}")));
        }
        Ok(Self {
            caller,
            server,
            seen,
            said: 0,
        })
    }

    /// Both speak, one after the other, and hear each other.
    pub(crate) fn speak(&mut self, first: First) -> io::Result<()> {
        let (one, other) = match first {
            First::Caller => (&self.caller, &self.server),
            First::Server => (&self.server, &self.caller),
        };
        for _ in 0..ROUNDS {
            for (from, to) in [(one, other), (other, one)] {
                self.said = self.said.wrapping_add(1);
                let mut from = from;
                from.write_all(&[b'w', self.said])?;
                hear(to, [b'w', self.said])?;
            }
        }
        Ok(())
    }

    /// The caller's own port.
    pub(crate) fn port(&self) -> u16 {
        let own = self.caller.local_addr().unwrap();
        own.as_socket().unwrap().port()
    }
}

impl Row<'_> {
    fn socket(&self, netns: &Netns) -> io::Result<Socket> {
        let kind = match self.transport {
            Transport::Tcp => Type::STREAM,
            Transport::Udp => Type::DGRAM,
        };
        let socket = at(netns, || {
            Socket::new(Domain::for_address(self.to), kind, None)
        })?;
        if self.to.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    }

    fn caller_socket(&self, stage: &Stage<'_>) -> io::Result<Socket> {
        let socket = self.socket(stage.netns(self.caller))?;
        if self.transport == Transport::Tcp {
            socket.set_reuse_address(true)?;
            // The next call with the same addresses must not meet remains of this one.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        if let Some(from) = self.from {
            once_free(|| socket.bind(&from.into()))?;
            self.forget(stage, from);
        }
        Ok(socket)
    }

    /// Ensures that the host tracks no flow of an earlier call: a new call must be a new flow.
    fn forget(&self, stage: &Stage<'_>, from: SocketAddr) {
        const UDP: u8 = 17;
        let flow = Flow {
            protocol: UDP,
            source: from,
            destination: self.to,
            answered_by: self.to,
        };
        if self.transport == Transport::Udp {
            netfilter(stage.lab).forget(&flow).unwrap();
        }
    }

    fn listener(&self, netns: &Netns, address: SocketAddr) -> io::Result<Socket> {
        let socket = self.socket(netns)?;
        if self.transport == Transport::Tcp {
            socket.set_reuse_address(true)?;
        }
        once_free(|| socket.bind(&address.into()))?;
        if self.transport == Transport::Tcp {
            once_free(|| socket.listen(1))?;
        }
        socket.set_read_timeout(Some(DEADLINE))?;
        Ok(socket)
    }
}

/// Says hello until the server has heard it, and connects the server to this caller alone.
fn hello(row: &Row<'_>, caller: &Socket, server: Socket) -> io::Result<(Socket, SockAddr)> {
    caller.connect(&row.to.into())?;
    server.set_read_timeout(Some(ATTEMPT))?;
    let seen = until_heard(DEADLINE, || {
        caller.send(&HELLO)?;
        server.peek_sender()
    })?;
    server.connect(&seen)?;
    hear(&server, HELLO)?;
    Ok((server, seen))
}

/// The refusal of a call without a server.
fn refusal(row: &Row<'_>, caller: &Socket) -> io::Error {
    let call = || {
        caller.connect_timeout(&row.to.into(), DEADLINE)?;
        caller.set_read_timeout(Some(DEADLINE))?;
        caller.send(&HELLO)?;
        hear(caller, HELLO)
    };
    let answered = || io::Error::other(format!("somebody answers at {}", row.to));
    call().err().unwrap_or_else(answered)
}

/// Waits for these two bytes; a hello may come late, and more than once.
fn hear(mut socket: &Socket, expected: [u8; 2]) -> io::Result<()> {
    let mut word = HELLO;
    socket.read_exact(&mut word)?;
    while word == HELLO && expected != HELLO {
        socket.read_exact(&mut word)?;
    }
    if word == expected {
        Ok(())
    } else {
        Err(io::Error::other(format!("{word:?} for {expected:?}")))
    }
}

fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn socket_addr(address: &SockAddr) -> io::Result<SocketAddr> {
    let no_address = || io::Error::other("not an address of the internet");
    address.as_socket().ok_or_else(no_address)
}
