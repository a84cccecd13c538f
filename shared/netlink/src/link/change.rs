//! Changing and deleting a link.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoPortData, InfoPortKind,
    LinkAttribute, LinkFlags, LinkInfo,
};
use nix::errno::Errno;

use super::{Link, message};
use crate::error::Error;
use crate::request::Attempt;

/// Settings of a bridge port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFlags {
    /// Frames may leave by the port on which they arrived.
    pub hairpin: bool,
    /// Frames do not pass to other isolated ports.
    pub isolated: bool,
}

impl Link {
    /// Sets the link up.
    pub fn set_up(&self) -> Result<(), Error> {
        self.set_flag("set up", LinkFlags::Up, true)
    }

    /// Sets the alias and the group in one request. Call it before the link is set up: for a link that is up without
    /// traffic the kernel would notify every listener, and IPv6 would walk all of its routes.
    pub fn tag(&self, alias: &str, group: u32) -> Result<(), Error> {
        self.set("tag", tag(alias, group))
    }

    /// Does the same, and renames the link.
    pub fn tag_as(&self, name: &str, alias: &str, group: u32) -> Result<(), Error> {
        let mut attributes = vec![LinkAttribute::IfName(name.to_owned())];
        attributes.extend(tag(alias, group));
        self.set("rename and tag", attributes)
    }

    /// Makes the link a port of the bridge or VRF with this index, or of none.
    pub fn set_controller(&self, index: Option<u32>) -> Result<(), Error> {
        let controller = LinkAttribute::Controller(index.unwrap_or(0));
        self.set("set the controller of", vec![controller])
    }

    /// Sets the link down.
    pub fn set_down(&self) -> Result<(), Error> {
        self.set_flag("set down", LinkFlags::Up, false)
    }

    /// Keeps the link from asking and answering for addresses, and from multicast by itself.
    pub fn set_silent(&self) -> Result<(), Error> {
        let flags = LinkFlags::Noarp | LinkFlags::Multicast;
        self.set_flags("silence", flags, LinkFlags::Noarp)
    }

    pub(crate) fn set_flag(&self, action: &str, flag: LinkFlags, on: bool) -> Result<(), Error> {
        self.set_flags(action, flag, if on { flag } else { LinkFlags::empty() })
    }

    /// Of the flags `mask`, those of `on` are set and the others are not.
    fn set_flags(&self, action: &str, mask: LinkFlags, on: LinkFlags) -> Result<(), Error> {
        let mut message = message(self.index, Vec::new());
        message.header.change_mask = mask;
        message.header.flags = on;
        self.rtnl.change(
            Attempt(action, &self.name),
            0,
            RouteNetlinkMessage::SetLink(message),
        )
    }

    /// Switches IPv4 forwarding on for packets from the link, as `/proc/sys/net/ipv4/conf/NAME/forwarding` does, but
    /// without procfs.
    pub fn forward_ipv4(&self) -> Result<(), Error> {
        /// `IFLA_AF_SPEC`, `AF_INET` in it, `IFLA_INET_CONF` in that, and `IPV4_DEVCONF_FORWARDING` of linux/ip.h.
        const WAY: [u16; 3] = [26, 2, 1];
        const FORWARDING: u16 = 1;
        let mut setting = DefaultNla::new(FORWARDING, 1_u32.to_ne_bytes().to_vec());
        for kind in WAY.into_iter().rev() {
            let mut bytes = vec![0; setting.buffer_len()];
            setting.emit(&mut bytes);
            setting = DefaultNla::new(kind | NLA_F_NESTED, bytes);
        }
        self.set("let forward", vec![LinkAttribute::Other(setting)])
    }

    /// Sets the hardware address for good.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        let address = LinkAttribute::Address(mac.to_vec());
        self.set("set hardware address of", vec![address])
    }

    /// Renames the link; `EBUSY` if it is up and the kernel is older than 6.2.
    pub fn set_name(&self, name: &str) -> Result<(), Error> {
        self.set("rename", vec![LinkAttribute::IfName(name.to_owned())])
    }

    /// Gives the link, which is down, its final name and group 0 in one request.
    pub fn publish(&self, name: &str) -> Result<(), Error> {
        let attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Group(0),
        ];
        self.set("rename", attributes)
    }

    /// Sets the alias. An empty one removes it.
    pub fn set_alias(&self, alias: &str) -> Result<(), Error> {
        self.set(
            "note an alias on",
            vec![LinkAttribute::IfAlias(alias.to_owned())],
        )
    }

    /// Moves the link to another namespace, under a name that is free there. The link is down then, without addresses.
    pub fn move_to(&self, netns: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
        let attributes = vec![
            LinkAttribute::NetNsFd(netns.as_raw_fd()),
            LinkAttribute::IfName(name.to_owned()),
        ];
        self.set("move to another namespace", attributes)
    }

    pub(crate) fn set(&self, action: &str, attributes: Vec<LinkAttribute>) -> Result<(), Error> {
        let message = RouteNetlinkMessage::SetLink(message(self.index, attributes));
        self.rtnl.change(Attempt(action, &self.name), 0, message)
    }

    /// Isolates the bridge port from other isolated ports, or ends the isolation.
    pub fn isolate_port(&self, isolated: bool) -> Result<(), Error> {
        let attributes = vec![port(vec![InfoBridgePort::Isolated(isolated)])];
        let message = RouteNetlinkMessage::NewLink(message(self.index, attributes));
        let attempt = Attempt("isolate the bridge port", &self.name);
        self.rtnl.change(attempt, 0, message)
    }

    /// Sets the port's flags, its alias and group 0 in one request; see [`Link::tag`]. The port gets no
    /// link-local address, because it needs none: the kernel would keep four routes for each port instead of one, and walk
    /// those of all ports for each new one.
    pub fn tag_port(&self, flags: PortFlags, alias: &str) -> Result<(), Error> {
        let settings = vec![
            InfoBridgePort::HairpinMode(flags.hairpin),
            InfoBridgePort::Isolated(flags.isolated),
        ];
        let mut attributes = tag(alias, 0);
        attributes.push(port(settings));
        if self.routing.has_ipv6 {
            let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            let families = vec![AfSpecUnspec::Inet6(vec![mode])];
            attributes.push(LinkAttribute::AfSpecUnspec(families));
        }
        let message = RouteNetlinkMessage::NewLink(message(self.index, attributes));
        let attempt = Attempt("set bridge port flags of", &self.name);
        self.rtnl.change(attempt, 0, message)
    }

    /// Deletes the link, if it still exists.
    pub fn delete(&self) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelLink(message(self.index, Vec::new()));
        match self
            .rtnl
            .change(Attempt("delete link", &self.name), 0, message)
        {
            Err(err) if err.is(Errno::ENODEV) => Ok(()),
            deleted => deleted,
        }
    }
}

fn tag(alias: &str, group: u32) -> Vec<LinkAttribute> {
    vec![
        LinkAttribute::IfAlias(alias.to_owned()),
        LinkAttribute::Group(group),
    ]
}

fn port(settings: Vec<InfoBridgePort>) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(settings)),
    ])
}
