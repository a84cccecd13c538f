//! Neighbours: the hardware addresses that the kernel has learned for addresses on a link.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};

use crate::error::Error;
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
