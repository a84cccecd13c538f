//! A link to be made.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo};

use super::{Kind, message};

/// A link to be made.
#[derive(Debug, Clone)]
pub struct LinkSpec<'a> {
    /// Name.
    pub name: String,
    /// What it is to be.
    pub kind: Kind,
    /// The namespace that it is born in; that of the connection where absent.
    pub netns: Option<BorrowedFd<'a>>,
    /// Index of the bridge that it becomes a port of.
    pub controller: Option<u32>,
    /// Its group; 0 where absent.
    pub group: Option<u32>,
    /// Hardware address, which stays. Where absent, the kernel's choice: udev may replace it, and that of a bridge follows
    /// its ports.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes; the kernel's default where absent.
    pub mtu: Option<u32>,
    /// How many packets its queue holds; the kernel's default where absent.
    pub queue_length: Option<u32>,
}

/// The far end of a veth pair to be made.
#[derive(Debug, Clone)]
pub struct Peer<'a> {
    /// Name.
    pub name: String,
    /// The namespace that it is born in.
    pub netns: BorrowedFd<'a>,
    /// Hardware address; the kernel's choice where absent.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes; the kernel's default where absent.
    pub mtu: Option<u32>,
}

impl<'a> Peer<'a> {
    /// A far end of which only name and namespace are asked for.
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
    /// A link of which only name and kind are asked for.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            netns: None,
            controller: None,
            group: None,
            mac: None,
            mtu: None,
            queue_length: None,
        }
    }

    /// The request's attributes.
    pub(super) fn attributes(&self) -> Vec<LinkAttribute> {
        let mut attributes = self.common();
        let mut info = vec![LinkInfo::Kind(self.kind.number())];
        info.extend(self.kind.data().map(LinkInfo::Data));
        attributes.push(LinkAttribute::LinkInfo(info));
        attributes
    }

    /// The same for a veth pair.
    pub(super) fn attributes_with(&self, peer: &Peer<'_>) -> Vec<LinkAttribute> {
        let mut far = vec![
            LinkAttribute::IfName(peer.name.clone()),
            LinkAttribute::NetNsFd(peer.netns.as_raw_fd()),
        ];
        far.extend(peer.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        far.extend(peer.mtu.map(LinkAttribute::Mtu));
        let mut attributes = self.common();
        attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message(0, far)))),
        ]));
        attributes
    }

    fn common(&self) -> Vec<LinkAttribute> {
        let mut attributes = vec![LinkAttribute::IfName(self.name.clone())];
        attributes.extend(self.group.map(LinkAttribute::Group));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        attributes.extend(self.controller.map(LinkAttribute::Controller));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        attributes.extend(self.queue_length.map(LinkAttribute::TxQueueLen));
        let netns = self.netns.map(|netns| netns.as_raw_fd());
        attributes.extend(netns.map(LinkAttribute::NetNsFd));
        attributes
    }
}
