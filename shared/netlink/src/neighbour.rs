//! Neighbours: which hardware address the kernel has learned, or was told, for an address on a link.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use nix::errno::Errno;

use crate::addr::kernel;
use crate::error::Error;
use crate::link::Link;
use crate::request::Attempt;
use crate::rtnl::Rtnl;

/// A neighbour of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Address.
    pub ip: IpAddr,
    /// Index of the link.
    pub link: u32,
    /// Hardware address; `None` until the neighbour has answered.
    pub mac: Option<[u8; 6]>,
    /// Whether the neighbour did not answer the kernel's questions.
    pub failed: bool,
}

impl Rtnl {
    /// The neighbours of both families.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, Error> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let (found, _at_one_moment) = self.dumps(&Attempt("list", "neighbours"), &request)?;
        Ok(found.into_iter().filter_map(Neighbour::of).collect())
    }
}

impl Link {
    /// The neighbours on this link.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, Error> {
        let mut message = NeighbourMessage::default();
        message
            .attributes
            .push(NeighbourAttribute::IfIndex(self.index));
        let request = RouteNetlinkMessage::GetNeighbour(message);
        let attempt = Attempt("list neighbours on", &self.name);
        let (found, _at_one_moment) = self.rtnl.dumps(&attempt, &request)?;
        let mut found: Vec<_> = found.into_iter().filter_map(Neighbour::of).collect();
        found.retain(|neighbour| neighbour.link == self.index);
        Ok(found)
    }

    /// Tells the kernel the hardware address of a neighbour for good: it asks nobody.
    pub fn set_neighbour(&self, ip: IpAddr, mac: [u8; 6]) -> Result<(), Error> {
        let mut message = self.neighbour(ip);
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        let attempt = Attempt("add neighbour", format!("{ip} on {}", self.name));
        let message = RouteNetlinkMessage::NewNeighbour(message);
        self.rtnl
            .change(attempt, NLM_F_CREATE | NLM_F_REPLACE, message)
    }

    /// Has the kernel forget a neighbour, if it knows it.
    pub fn delete_neighbour(&self, ip: IpAddr) -> Result<(), Error> {
        let attempt = Attempt("delete neighbour", format!("{ip} on {}", self.name));
        let message = RouteNetlinkMessage::DelNeighbour(self.neighbour(ip));
        match self.rtnl.change(attempt, 0, message) {
            Err(err) if err.is(Errno::ENOENT) || err.is(Errno::ENODEV) => Ok(()),
            deleted => deleted,
        }
    }

    fn neighbour(&self, ip: IpAddr) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = kernel(Family::of(ip));
        message.header.ifindex = self.index;
        let address = match ip {
            IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
            IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
        };
        message
            .attributes
            .push(NeighbourAttribute::Destination(address));
        message
    }
}

impl Neighbour {
    /// Decodes a reply. Returns `None` for any other message type.
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = answer else {
            return None;
        };
        let (mut ip, mut mac) = (None, None);
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(four)) => {
                    ip = Some(IpAddr::from(four));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(six)) => {
                    ip = Some(IpAddr::from(six));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
                _ => {}
            }
        }
        Some(Self {
            ip: ip?,
            link: message.header.ifindex,
            mac,
            failed: message.header.state == NeighbourState::Failed,
        })
    }
}
