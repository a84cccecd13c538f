//! Releasing an address, by unicast from the address itself, so that the server accepts it.
//!
//! A server on the same link gets a raw frame: the kernel would first resolve the server's hardware address, which we
//! know, and the link is deleted as soon as we return. For other servers the kernel's routes are used.

use std::net::Ipv4Addr;

use crate::answer::address;
use crate::lease::Lease4;
use crate::link::{Ether, Spot};
use crate::random;
use crate::record::Record;
use crate::trouble::Trouble;
use crate::wire::frame::{self, EVERYBODY, Way};
use crate::wire::message::{Kind, Message};
use crate::wire::option;

/// Releases the record's leases from `spot`. Tries both families, and returns the first failure.
pub(crate) fn all(record: &Record, spot: &Spot) -> Result<(), Trouble> {
    let four = record.four.as_ref().map_or(Ok(()), |lease| {
        let options = record.profile.identity(&record.client);
        four(lease, spot, options)
    });
    let six = record
        .six
        .as_ref()
        .map_or(Ok(()), |lease| lease.release(spot));
    four.and(six)
}

fn four(lease: &Lease4, spot: &Spot, mut options: option::Options) -> Result<(), Trouble> {
    let source = lease.ack.yours;
    if let Some(server) = lease.ack.options.get(&option::SERVER) {
        options.insert(option::SERVER, server.clone());
    }
    let server = lease
        .ack
        .address(option::SERVER)
        .unwrap_or(Ipv4Addr::BROADCAST);
    let mut message = Message::new(Kind::Release, random::number(), lease.ack.hardware, options);
    message.client = source;
    let payload = message.encode();
    let is_neighbour = address(&lease.ack).is_some_and(|net| net.contains(server.into()));
    if !is_neighbour && spot.send_from(source, server, &payload).is_ok() {
        return Ok(());
    }
    let (facts, socket) = spot.packets(Ether::V4, &[])?;
    let way = Way {
        from: facts.mac,
        to: if server.is_broadcast() {
            EVERYBODY
        } else {
            lease.server_mac
        },
        source,
        destination: server,
    };
    socket.send(&frame::build(&way, &payload))?;
    Ok(())
}
