//! Exchanges with servers over a packet socket: each message up to three times, and the whole again until the deadline.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::Socket;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::clock::{Moment, wait};
use crate::complain::complain;
use crate::filter::{LONGEST, of_exchange};
use crate::lease::Lease4;
use crate::link::{Ether, Facts, Spot};
use crate::profile::Profile;
use crate::random;
use crate::trouble::Trouble;
use crate::wire::frame::{self, EVERYBODY, Way};
use crate::wire::message::{Kind, Message};
use crate::wire::option::{self, Options};

/// How often a message is sent before its exchange fails.
pub(crate) const SENT: u32 = 3;

/// Time limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the answer to the first message. Each repetition has twice as long.
    pub(crate) timeout: Duration,
    /// The longest pause between two attempts.
    pub(crate) longest_pause: Duration,
    /// For all attempts together.
    pub(crate) whole: Duration,
}

/// The pauses between failed attempts: four short ones, then growing ones.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    failures: u32,
}

impl Ladder {
    /// The pause after one more failure.
    pub(crate) fn pause(&mut self, longest: Duration) -> Duration {
        self.failures += 1;
        let nominal = match self.failures {
            0..=4 => Duration::from_secs(2),
            more => Duration::from_secs(4 << (more - 4).min(6)).min(longest),
        };
        // Jitter spreads the retries of clients that failed together.
        let jitter = Duration::from_millis(u64::from(random::number() % 2000));
        (nominal + jitter).saturating_sub(Duration::from_secs(1))
    }
}

/// The interface's frames. For send(2) and recv(2) a packet socket is an ordinary datagram socket.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: UdpSocket,
    pub(crate) facts: Facts,
}

impl Wire {
    pub(crate) fn new(facts: Facts, socket: Socket) -> Result<Self, Trouble> {
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, facts })
    }

    pub(crate) async fn send(&self, frame: &[u8]) -> Result<(), Trouble> {
        self.socket.send(frame).await?;
        Ok(())
    }

    /// Waits for a frame that `accept` accepts.
    pub(crate) async fn receive<T>(
        &self,
        accept: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Trouble> {
        receive(&self.socket, accept).await
    }
}

/// Waits for a datagram that `accept` accepts.
pub(crate) async fn receive<T>(
    socket: &UdpSocket,
    mut accept: impl FnMut(&[u8]) -> Option<T>,
) -> Result<T, Trouble> {
    loop {
        socket.readable().await?;
        let mut buffer = [0; LONGEST];
        match socket.try_recv(&mut buffer) {
            Ok(length) => {
                if let Some(taken) = accept(buffer.get(..length).unwrap_or_default()) {
                    return Ok(taken);
                }
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            // The link is down; it may be up again before the deadline.
            Err(err) if err.raw_os_error() == Some(nix::libc::ENETDOWN) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

/// Sends up to three times, and waits for an answer, each time twice as long as before.
pub(crate) async fn insist<T>(
    first: Duration,
    deadline: Instant,
    send: impl AsyncFn() -> Result<(), Trouble>,
    receive: impl AsyncFn() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    for attempt in 0..SENT {
        send().await?;
        let patience = first.saturating_mul(1 << attempt);
        let until = deadline.min(Instant::now() + patience);
        if let Ok(answer) = timeout_at(until, receive()).await {
            return answer;
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(Trouble::NoTries)
}

/// Repeats `attempt`, with pauses, until the deadline, unless the trouble is permanent.
pub(crate) async fn persist<T>(
    ifname: &str,
    longest_pause: Duration,
    deadline: Instant,
    attempt: impl AsyncFn() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut ladder = Ladder::default();
    loop {
        let trouble = match attempt().await {
            Err(trouble) if trouble.may_pass() => trouble,
            outcome => return outcome,
        };
        let until = Instant::now() + ladder.pause(longest_pause);
        if until >= deadline {
            complain(&format!("{ifname}: {trouble}"));
            // The plugin learns of the failure as soon as no attempt fits before the deadline.
            return Err(Trouble::NoTries);
        }
        complain(&format!("{ifname}: {trouble}; another attempt follows"));
        wait(until).await;
    }
}

/// One client: its identity and its interface.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) spot: Spot,
    pub(crate) profile: Profile,
    /// Option 61.
    pub(crate) id: Vec<u8>,
    pub(crate) timeout: Duration,
}

/// One exchange: its number, and a socket with a filter for it.
struct Exchange<'a> {
    client: &'a Client,
    wire: Wire,
    xid: u32,
}

impl Client {
    async fn exchange(&self) -> Result<Exchange<'_>, Trouble> {
        let xid = random::number();
        let spot = self.spot.clone();
        let opened = blocking(move || spot.packets(Ether::V4, &of_exchange(xid))).await?;
        let (facts, socket) = opened;
        let wire = Wire::new(facts, socket)?;
        Ok(Exchange {
            client: self,
            wire,
            xid,
        })
    }

    /// DISCOVER and REQUEST: a lease, only of the address `wanted` if there is one. `requesting` gets the offer before
    /// the REQUEST leaves, because from then on the server may have given the address.
    pub(crate) async fn acquire(
        &self,
        wanted: Option<Ipv4Addr>,
        deadline: Instant,
        requesting: impl Fn(Lease4) -> Result<(), Trouble>,
    ) -> Result<Lease4, Trouble> {
        let exchange = self.exchange().await?;
        let mut options = self.profile.options(&self.id);
        if let Some(wanted) = wanted {
            options.insert(option::ADDRESS, wanted.octets().to_vec());
        }
        let discover = exchange.message(Kind::Discover, options);
        let is_offer = |message: &Message| {
            let fits = wanted.is_none_or(|wanted| message.yours == wanted);
            let is_address = !message.yours.is_unspecified();
            let is_named = message.address(option::SERVER).is_some();
            fits && is_address && is_named && message.kind() == Some(Kind::Offer)
        };
        let (offer, server_mac) = exchange.ask(&discover, None, is_offer, deadline).await?;
        let server = offer.options.get(&option::SERVER).cloned();
        let server = server.unwrap_or_default();
        let mut options = self.profile.options(&self.id);
        options.insert(option::ADDRESS, offer.yours.octets().to_vec());
        options.insert(option::SERVER, server.clone());
        requesting(Lease4 {
            ack: offer,
            server_mac,
            obtained: Moment::now(),
        })?;
        let request = exchange.message(Kind::Request, options);
        let is_servers = |message: &Message| {
            let named = message.options.get(&option::SERVER);
            named == Some(&server) && is_verdict(message)
        };
        exchange.lease(&request, None, is_servers, deadline).await
    }

    /// REQUEST for the client's current address: to its server alone, or by broadcast.
    pub(crate) async fn renew(
        &self,
        lease: &Lease4,
        everybody: bool,
        deadline: Instant,
    ) -> Result<Lease4, Trouble> {
        let exchange = self.exchange().await?;
        let address = lease.ack.yours;
        let mut request = exchange.message(Kind::Request, self.profile.options(&self.id));
        request.client = address;
        // The client has its address, so it needs no broadcast answer.
        request.broadcast = self.profile.broadcast;
        let server = lease.ack.address(option::SERVER);
        let way = server.filter(|_named| !everybody).map(|server| Way {
            from: exchange.wire.facts.mac,
            to: lease.server_mac,
            source: address,
            destination: server,
        });
        let is_ours = |message: &Message| match message.kind() {
            Some(Kind::Ack) => message.yours == address,
            kind => kind == Some(Kind::Nak),
        };
        exchange.lease(&request, way, is_ours, deadline).await
    }
}

fn is_verdict(message: &Message) -> bool {
    matches!(message.kind(), Some(Kind::Ack | Kind::Nak))
}

impl Exchange<'_> {
    fn message(&self, kind: Kind, options: Options) -> Message {
        let facts = &self.wire.facts;
        let mut message = Message::new(kind, self.xid, facts.mac, options);
        // Siblings of an ipvlan share the hardware address. A unicast answer to a new address would reach none of them.
        message.broadcast = self.client.profile.broadcast || facts.kind == "ipvlan";
        message
    }

    /// Asks the server, and returns its lease.
    async fn lease(
        &self,
        request: &Message,
        way: Option<Way>,
        accept: impl Fn(&Message) -> bool,
        deadline: Instant,
    ) -> Result<Lease4, Trouble> {
        let (verdict, server_mac) = self.ask(request, way, accept, deadline).await?;
        if verdict.kind() == Some(Kind::Nak) {
            let words = verdict.text(option::WORDS).unwrap_or_default();
            return Err(Trouble::Nak(words));
        }
        Ok(Lease4 {
            ack: verdict,
            server_mac,
            obtained: Moment::now(),
        })
    }

    /// Sends the message up to three times, and waits for an answer that `accept` accepts.
    async fn ask(
        &self,
        message: &Message,
        way: Option<Way>,
        accept: impl Fn(&Message) -> bool,
        deadline: Instant,
    ) -> Result<(Message, [u8; 6]), Trouble> {
        let mac = self.wire.facts.mac;
        let way = way.unwrap_or(Way {
            from: mac,
            to: EVERYBODY,
            source: message.client,
            destination: Ipv4Addr::BROADCAST,
        });
        let frame = frame::build(&way, &message.encode());
        let is_answer = |frame: &[u8]| {
            let received = frame::parse(frame)?;
            let answer = Message::parse(received.payload)?;
            let is_ours = answer.reply && answer.xid == self.xid && answer.hardware == mac;
            (is_ours && accept(&answer)).then_some((answer, received.from))
        };
        let (send, receive) = (
            async || self.wire.send(&frame).await,
            async || self.wire.receive(&is_answer).await,
        );
        insist(self.client.timeout, deadline, send, receive).await
    }
}

/// Runs `work`, which may visit a namespace, on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|err| Err(Trouble::Kernel(err.to_string())))
}
