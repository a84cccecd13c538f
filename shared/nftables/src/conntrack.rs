//! Tracked connections: listing by protocol, and deleting single ones.

use std::net::{IpAddr, SocketAddr};

use linkspan_protocol::family::Family;
use netlink_packet_core::{DefaultNla, NLM_F_DUMP, NlasIterator, Parseable};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, ConntrackMessageType, IPTuple, ProtoTuple, Protocol,
    Tuple,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use nix::errno::Errno;

use crate::Error;
use crate::encode::nested;
use crate::socket::Netfilter;

const CTA_TUPLE_ORIG: u16 = 1;

/// A tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Number of the transport protocol.
    pub protocol: u8,
    /// The client.
    pub source: SocketAddr,
    /// The original destination, before translation.
    pub destination: SocketAddr,
    /// The server: the destination after translation.
    pub answered_by: SocketAddr,
}

impl Netfilter {
    /// The connections of `protocol` in one family that `wanted` picks. The kernel filters by protocol since Linux 5.8;
    /// older kernels list every connection.
    pub fn flows(
        &self,
        family: Family,
        protocol: u8,
        wanted: impl Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, Error> {
        let selected = Tuple::Proto(vec![ProtoTuple::Protocol(Protocol::from(protocol))]);
        // Untyped attributes, since the library's typed attribute of another kind loses the nested flag.
        let request = ConntrackMessage::Other {
            message_type: ConntrackMessageType::Get.into(),
            attributes: vec![nested(CTA_TUPLE_ORIG, &[selected]), filter()],
        };
        let attempt = ("list", "tracked connections");
        let read = |object: &[u8]| {
            Flow::decode(object).filter(|flow| flow.protocol == protocol && wanted(flow))
        };
        self.ask(attempt, NLM_F_DUMP, message(family, request), read)
    }

    /// Deletes a connection, if it still exists.
    pub fn forget(&self, flow: &Flow) -> Result<(), Error> {
        let request = ConntrackMessage::Delete(vec![ConntrackAttribute::CtaTupleOrig(vec![
            Tuple::Ip(vec![
                IPTuple::SourceAddress(flow.source.ip()),
                IPTuple::DestinationAddress(flow.destination.ip()),
            ]),
            Tuple::Proto(vec![
                ProtoTuple::Protocol(Protocol::from(flow.protocol)),
                ProtoTuple::SourcePort(flow.source.port()),
                ProtoTuple::DestinationPort(flow.destination.port()),
            ]),
        ])]);
        let family = Family::of(flow.source.ip());
        let attempt = ("delete", "a tracked connection");
        match self.ask(attempt, 0, message(family, request), |_| None::<()>) {
            Err(err) if !err.is(Errno::ENOENT) => Err(err),
            _ => Ok(()),
        }
    }
}

fn message(family: Family, request: ConntrackMessage) -> NetfilterMessage {
    let family = family.pick(NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6);
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), request)
}

/// `CTA_FILTER`: the protocol of the original direction must match.
fn filter() -> DefaultNla {
    const CTA_FILTER: u16 = 25;
    const ORIGINAL: u16 = 1;
    const REPLY: u16 = 2;
    /// `CTA_FILTER_F_CTA_PROTO_NUM`
    const FIELDS: u32 = 1 << 3;
    let flags = [
        DefaultNla::new(ORIGINAL, FIELDS.to_ne_bytes().to_vec()),
        DefaultNla::new(REPLY, 0u32.to_ne_bytes().to_vec()),
    ];
    nested(CTA_FILTER, &flags)
}

impl Flow {
    /// Decodes the attributes of a connection; `None` unless both directions are present.
    pub fn decode(object: &[u8]) -> Option<Self> {
        let (mut original, mut reply) = (None, None);
        for attribute in NlasIterator::new(object).map_while(Result::ok) {
            match &ConntrackAttribute::parse(&attribute).ok()? {
                ConntrackAttribute::CtaTupleOrig(tuple) => original = ends(tuple),
                ConntrackAttribute::CtaTupleReply(tuple) => reply = ends(tuple),
                _ => {}
            }
        }
        let (protocol, source, destination) = original?;
        let (_, answered_by, _) = reply?;
        Some(Self {
            protocol,
            source,
            destination,
            answered_by,
        })
    }
}

/// Protocol, source and destination of one direction.
fn ends(tuple: &[Tuple]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let (mut from, mut to): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut number, mut from_port, mut to_port) = (None, 0, 0);
    for part in tuple {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(ip) => from = Some(*ip),
                        IPTuple::DestinationAddress(ip) => to = Some(*ip),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::Protocol(protocol) => number = Some(u8::from(*protocol)),
                        ProtoTuple::SourcePort(port) => from_port = *port,
                        ProtoTuple::DestinationPort(port) => to_port = *port,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((
        number?,
        SocketAddr::new(from?, from_port),
        SocketAddr::new(to?, to_port),
    ))
}
