//! Settings of a link: hardware address, MTU, received frames, queue length.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags};

use crate::error::Error;
use crate::link::{Link, message};
use crate::request::Attempt;

/// The settings of a link at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Hardware address; `None` unless it has 48 bits.
    pub mac: Option<[u8; 6]>,
    /// The permanent address of the hardware; `None` without hardware.
    pub permanent_mac: Option<[u8; 6]>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether the link is set promiscuous. Bridges and sniffers that need the mode do not count.
    pub promiscuous: bool,
    /// Whether the link is set to receive every multicast.
    pub all_multicast: bool,
    /// Maximum number of queued packets.
    pub queue_length: u32,
}

impl Link {
    /// The link's settings; `None` if it is gone.
    pub fn settings(&self) -> Result<Option<Settings>, Error> {
        let attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let request = RouteNetlinkMessage::GetLink(message(self.index, attributes));
        let found = self
            .rtnl
            .get(Attempt("look up link", &self.name), request)?;
        Ok(found.and_then(Settings::of))
    }

    /// Sets the MTU in bytes.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Error> {
        self.set("set mtu of", vec![LinkAttribute::Mtu(mtu)])
    }

    /// Sets the maximum number of queued packets.
    pub fn set_queue_length(&self, packets: u32) -> Result<(), Error> {
        let length = LinkAttribute::TxQueueLen(packets);
        self.set("set queue length of", vec![length])
    }

    /// Sets whether the link receives every frame.
    pub fn receive_all(&self, on: bool) -> Result<(), Error> {
        self.set_flag("set promiscuity of", LinkFlags::Promisc, on)
    }

    /// Sets whether the link receives every multicast.
    pub fn receive_all_multicast(&self, on: bool) -> Result<(), Error> {
        self.set_flag("set allmulti of", LinkFlags::Allmulti, on)
    }
}

impl Settings {
    /// Decodes a reply. Returns `None` for any other message type.
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else {
            return None;
        };
        let mut settings = Self {
            mac: None,
            permanent_mac: None,
            mtu: 0,
            promiscuous: message.header.flags.contains(LinkFlags::Promisc),
            all_multicast: message.header.flags.contains(LinkFlags::Allmulti),
            queue_length: 0,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(mac) => settings.mac = mac.try_into().ok(),
                LinkAttribute::PermAddress(mac) => settings.permanent_mac = mac.try_into().ok(),
                LinkAttribute::Mtu(mtu) => settings.mtu = mtu,
                LinkAttribute::TxQueueLen(packets) => settings.queue_length = packets,
                _ => {}
            }
        }
        Some(settings)
    }
}
