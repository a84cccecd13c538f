//! Exchanges with IPv6 servers and routers.

use std::io;
use std::net::SocketAddrV6;
use std::time::Duration;

use futures_util::future::join;
use linkspan_protocol::addr::Cidr;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::advertisement::{self, Advertised};
use super::lease::Lease6;
use super::message::{self, Given, Kind, Message, Options, find, interface};
use crate::clock::{Moment, wait};
use crate::exchange::{Client, Patience, SENT, Wire, blocking, insist, persist, receive};
use crate::filter::of_advertisements;
use crate::identity::{duid, iaid};
use crate::link::{Ether, servers};
use crate::trouble::Trouble;

/// The first timeout of RFC 8415 and of RFC 4861.
const FIRST: Duration = Duration::from_secs(1);
/// Retry interval while the interface has no address yet, which takes a second or two.
const NOT_READY: Duration = Duration::from_millis(100);

/// An address, with as many attempts as the time allows, and the router of the link if it advertises itself.
/// `requesting` gets the offered lease before each REQUEST leaves.
pub(crate) async fn acquire(
    client: &Client,
    patience: Patience,
    requesting: impl Fn(Lease6) -> Result<(), Trouble>,
) -> Result<Lease6, Trouble> {
    let deadline = Instant::now() + patience.whole;
    let routed = advertised(client, deadline);
    let (ifname, pause) = (&client.spot.ifname, patience.longest_pause);
    let leased = persist(ifname, pause, deadline, async || {
        attempt(client, deadline, &requesting).await
    });
    let (advertised, leased) = join(routed, leased).await;
    let mut lease = leased?;
    if let Ok(Advertised { router, on_link }) = advertised {
        lease.router = router;
        let prefix = on_link
            .into_iter()
            .find(|prefix| prefix.contains(lease.address.ip()));
        let with_prefix = prefix.and_then(|prefix| Cidr::new(lease.address.ip(), prefix.prefix()));
        lease.address = with_prefix.unwrap_or(lease.address);
    }
    Ok(lease)
}

/// Renews the lease with its server, or with any server if `everybody` is set.
pub(crate) async fn renew(
    client: &Client,
    lease: &Lease6,
    everybody: bool,
    deadline: Instant,
) -> Result<Lease6, Trouble> {
    let exchange = Exchange::open(client).await?;
    let mut options = lease.options();
    options.push(asked());
    let kind = if everybody {
        Kind::Rebind
    } else {
        options.insert(1, (message::SERVER, lease.server.clone()));
        Kind::Renew
    };
    let reply = exchange.ask(kind, options, Kind::Reply, deadline).await?;
    let given = given(&reply, lease.iaid)?;
    if Some(given.address) != lease.ip() {
        return Err(Trouble::Answer("a server gives another address".to_owned()));
    }
    let renewed = exchange.lease(&reply, given, lease.iaid)?;
    Ok(Lease6 {
        address: lease.address,
        router: lease.router,
        ..renewed
    })
}

/// The first router's advertisement. Sends up to three solicitations.
async fn advertised(client: &Client, deadline: Instant) -> Result<Advertised, Trouble> {
    let spot = client.spot.clone();
    let opened = blocking(move || {
        spot.refuse_advertisements();
        spot.packets(Ether::V6, &of_advertisements())
    });
    let (facts, socket) = opened.await?;
    let wire = Wire::new(facts, socket)?;
    for _attempt in 0..SENT {
        wire.send(&advertisement::solicitation(wire.facts.mac))
            .await?;
        let until = deadline.min(Instant::now() + FIRST.min(client.timeout));
        if let Ok(told) = timeout_at(until, wire.receive(advertisement::parse)).await {
            return told;
        }
    }
    Err(Trouble::NoTries)
}

async fn attempt(
    client: &Client,
    deadline: Instant,
    requesting: &impl Fn(Lease6) -> Result<(), Trouble>,
) -> Result<Lease6, Trouble> {
    let exchange = Exchange::open(client).await?;
    let iaid = iaid(&client.spot.ifname);
    let who = (message::CLIENT, exchange.duid.clone());
    let elapsed = (message::ELAPSED, vec![0, 0]);
    let solicit = vec![who.clone(), elapsed.clone(), interface(iaid, None), asked()];
    let advertise = exchange
        .ask(Kind::Solicit, solicit, Kind::Advertise, deadline)
        .await?;
    let offered = given(&advertise, iaid)?;
    let server = find(&advertise.options, message::SERVER).unwrap_or_default();
    requesting(exchange.lease(&advertise, offered, iaid)?)?;
    let request = vec![
        who,
        (message::SERVER, server.to_vec()),
        elapsed,
        interface(iaid, Some(offered.address)),
        asked(),
    ];
    let reply = exchange
        .ask(Kind::Request, request, Kind::Reply, deadline)
        .await?;
    let given = given(&reply, iaid)?;
    exchange.lease(&reply, given, iaid)
}

fn asked() -> (u16, Vec<u8>) {
    let codes = [message::DNS, message::SEARCH].map(u16::to_be_bytes);
    (message::ASKED, codes.concat())
}

fn given(message: &Message, iaid: [u8; 4]) -> Result<Given, Trouble> {
    let nothing = || {
        message
            .refusal()
            .unwrap_or_else(|| "a server gives no address".to_owned())
    };
    message
        .given(iaid)
        .ok_or_else(|| Trouble::Answer(nothing()))
}

/// A socket for messages, and the client's identity.
struct Exchange<'a> {
    client: &'a Client,
    socket: UdpSocket,
    to: SocketAddrV6,
    duid: Vec<u8>,
}

impl<'a> Exchange<'a> {
    async fn open(client: &'a Client) -> Result<Self, Trouble> {
        let spot = client.spot.clone();
        let (facts, socket) = blocking(move || spot.messages()).await?;
        Ok(Self {
            client,
            socket: UdpSocket::from_std(socket.into())?,
            to: servers(facts.index),
            duid: duid(facts.mac),
        })
    }

    fn lease(&self, reply: &Message, given: Given, iaid: [u8; 4]) -> Result<Lease6, Trouble> {
        let option = |code| find(&reply.options, code).unwrap_or_default().to_vec();
        let address = Cidr::new(given.address.into(), 128);
        Ok(Lease6 {
            obtained: Moment::now(),
            address: address.ok_or_else(|| Trouble::Answer("no address".to_owned()))?,
            router: None,
            iaid,
            client: self.duid.clone(),
            server: option(message::SERVER),
            valid: given.valid,
            t1: given.t1,
            t2: given.t2,
            dns: option(message::DNS),
            search: option(message::SEARCH),
        })
    }

    /// Sends the message up to three times, and waits for an answer of the given kind.
    async fn ask(
        &self,
        kind: Kind,
        options: Options,
        answer: Kind,
        deadline: Instant,
    ) -> Result<Message, Trouble> {
        let message = Message::new(kind, options);
        let bytes = message.encode();
        let is_answer = |bytes: &[u8]| {
            let found = Message::parse(bytes)?;
            let is_ours = found.kind == answer as u8
                && found.xid == message.xid
                && find(&found.options, message::CLIENT) == Some(&self.duid)
                && find(&found.options, message::SERVER).is_some();
            is_ours.then_some(found)
        };
        let (send, receive) = (
            async || self.send(&bytes, deadline).await,
            async || receive(&self.socket, &is_answer).await,
        );
        insist(FIRST.min(self.client.timeout), deadline, send, receive).await
    }

    /// Sends the message as soon as the interface has an address.
    async fn send(&self, bytes: &[u8], deadline: Instant) -> Result<(), Trouble> {
        loop {
            let err = match self.socket.send_to(bytes, self.to).await {
                Ok(_sent) => return Ok(()),
                Err(err) => err,
            };
            let next = Instant::now() + NOT_READY;
            let is_early = matches!(
                err.kind(),
                io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkUnreachable
            );
            if !is_early || next >= deadline {
                return Err(err.into());
            }
            wait(next).await;
        }
    }
}
