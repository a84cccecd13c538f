//! A link to create.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::link::{LinkAttribute, LinkInfo};

use super::bridge_vlan::filtering;
use super::{Kind, message};

/// A link to create.
#[derive(Debug, Clone)]
pub struct LinkSpec<'a> {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// The namespace of its birth; default: the connection's.
    pub netns: Option<BorrowedFd<'a>>,
    /// Index of the bridge that gets the link as a port.
    pub controller: Option<u32>,
    /// Group; default: 0.
    pub group: Option<u32>,
    /// A permanent hardware address. Default: the kernel's choice, which udev may replace; a bridge then follows its
    /// ports.
    pub mac: Option<[u8; 6]>,
    /// The hardware address of all stations; default: the kind's.
    pub broadcast: Option<[u8; 6]>,
    /// MTU in bytes; default: the kernel's.
    pub mtu: Option<u32>,
    /// Maximum number of queued packets; default: the kernel's.
    pub queue_length: Option<u32>,
    /// Bridge: whether it filters by VLAN.
    pub filters_vlans: bool,
}

/// The far end of a pair to create.
#[derive(Debug, Clone)]
pub struct Peer<'a> {
    /// Name.
    pub name: String,
    /// The namespace of its birth.
    pub netns: BorrowedFd<'a>,
    /// Hardware address; default: the kernel's choice.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes; default: the kernel's.
    pub mtu: Option<u32>,
}

impl<'a> Peer<'a> {
    /// A far end with a name and a namespace, and defaults otherwise.
    pub fn new(name: impl Into<String>, netns: BorrowedFd<'a>) -> Self {
        Self {
            name: name.into(),
            netns,
            mac: None,
            mtu: None,
        }
    }
}

impl LinkSpec<'_> {
    /// A link with a name and a kind, and defaults otherwise.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            netns: None,
            controller: None,
            group: None,
            mac: None,
            broadcast: None,
            mtu: None,
            queue_length: None,
            filters_vlans: false,
        }
    }

    /// The request's attributes.
    pub(super) fn attributes(&self) -> Vec<LinkAttribute> {
        let mut attributes = self.common();
        let mut info = vec![LinkInfo::Kind(self.kind.number())];
        info.extend(self.kind.data().map(LinkInfo::Data));
        if self.filters_vlans {
            info = filtering();
        }
        attributes.push(LinkAttribute::LinkInfo(info));
        attributes
    }

    /// The same for a pair.
    pub(super) fn attributes_with(&self, peer: &Peer<'_>) -> Vec<LinkAttribute> {
        let mut far = vec![
            LinkAttribute::IfName(peer.name.clone()),
            LinkAttribute::NetNsFd(peer.netns.as_raw_fd()),
        ];
        far.extend(peer.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        far.extend(peer.mtu.map(LinkAttribute::Mtu));
        let mut attributes = self.common();
        let mut info = vec![LinkInfo::Kind(self.kind.number())];
        info.extend(self.kind.pair_data(message(0, far)).map(LinkInfo::Data));
        attributes.push(LinkAttribute::LinkInfo(info));
        attributes
    }

    fn common(&self) -> Vec<LinkAttribute> {
        let mut attributes = vec![LinkAttribute::IfName(self.name.clone())];
        attributes.extend(self.group.map(LinkAttribute::Group));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        let broadcast = self.broadcast.map(|mac| mac.to_vec());
        attributes.extend(broadcast.map(LinkAttribute::Broadcast));
        attributes.extend(self.controller.map(LinkAttribute::Controller));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        attributes.extend(self.queue_length.map(LinkAttribute::TxQueueLen));
        let netns = self.netns.map(|netns| netns.as_raw_fd());
        attributes.extend(netns.map(LinkAttribute::NetNsFd));
        attributes
    }
}
