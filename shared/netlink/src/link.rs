//! Links: looking them up, making, changing and deleting them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};
use nix::errno::Errno;

use crate::error::Error;
use crate::request::Attempt;
use crate::routing::Routing;
use crate::rtnl::Rtnl;

/// A link as it was when it was looked up, and the handle to change it with.
#[derive(Debug, Clone)]
pub struct Link {
    pub(crate) rtnl: Rtnl,
    /// Index within its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address; zero where the link has none of 48 bits.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Kind, such as `bridge`; empty for hardware and loopback.
    pub kind: String,
    /// What somebody noted on it; empty where nobody did.
    pub alias: String,
    /// The group that it is in; 0 where nobody put it into one.
    pub group: u32,
    /// Index of the bridge that it is a port of.
    pub controller: Option<u32>,
    /// Index of a veth's other end, in that end's namespace.
    pub peer_index: Option<u32>,
    /// The kernel's number for the namespace of that other end, where it is another one; negative once that is dead.
    pub peer_netns: Option<i32>,
    /// Whether it is set up.
    pub up: bool,
    /// Whether it can pass traffic.
    pub oper_up: bool,
    /// Operational state in the kernel's words.
    pub oper_state: String,
    /// How many want it promiscuous.
    pub promiscuity: u32,
    /// Bridge port: frames may leave by the port they came from.
    pub hairpin: Option<bool>,
    /// Bridge port: no frames to other isolated ports.
    pub isolated: Option<bool>,
    /// Its part in routing.
    pub routing: Routing,
}

/// A bridge to be made.
#[derive(Debug, Clone)]
pub struct BridgeSpec {
    /// Name.
    pub name: String,
    /// Hardware address; given at creation, it does not follow the ports.
    pub mac: [u8; 6],
    /// MTU in bytes; the kernel's default where absent.
    pub mtu: Option<u32>,
}

/// A veth pair to be made, both ends down, the far end born in its namespace.
#[derive(Debug)]
pub struct VethSpec<'a> {
    /// Name of the near end.
    pub name: String,
    /// Index of the bridge that the near end becomes a port of.
    pub controller: Option<u32>,
    /// The group of the near end; tagging it puts it into the default group 0.
    pub group: u32,
    /// Hardware address of the near end; the kernel's choice, which udev may replace, where absent.
    pub mac: Option<[u8; 6]>,
    /// MTU of both ends in bytes; the kernel's default where absent.
    pub mtu: Option<u32>,
    /// Name of the far end.
    pub peer_name: String,
    /// Hardware address of the far end; the kernel's choice where absent.
    pub peer_mac: Option<[u8; 6]>,
    /// Namespace of the far end.
    pub peer_netns: BorrowedFd<'a>,
}

/// Settings of a bridge port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFlags {
    /// Frames may leave by the port they came from.
    pub hairpin: bool,
    /// No frames to other isolated ports.
    pub isolated: bool,
}

impl Rtnl {
    /// Looks a link up by its name.
    pub fn link_by_name(&self, name: &str) -> Result<Option<Link>, Error> {
        let name_of = LinkAttribute::IfName(name.to_owned());
        let found = self.get(Attempt("look up link", name), look_up(0, Some(name_of)));
        Ok(found?.and_then(|answer| Link::of(self, answer)))
    }

    /// Looks a link up by its index.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>, Error> {
        let attempt = Attempt("look up link with index", index);
        let found = self.get(attempt, look_up(index, None))?;
        Ok(found.and_then(|answer| Link::of(self, answer)))
    }

    /// Every link, in the order of their indexes. Where others change links all the time, so that no list of the kernel's
    /// is of one moment, those of many together: a link that stays is in them, and one that went meanwhile may be.
    pub fn links(&self) -> Result<Vec<Link>, Error> {
        let (found, _at_one_moment) = self.dumps(&Attempt("list", "links"), &look_up(0, None))?;
        let links = found.into_iter().filter_map(|link| Link::of(self, link));
        let by_index: BTreeMap<u32, Link> = links.map(|link| (link.index, link)).collect();
        Ok(by_index.into_values().collect())
    }

    /// Makes a bridge; `EEXIST` where any link has its name.
    pub fn create_bridge(&self, spec: &BridgeSpec) -> Result<(), Error> {
        let mut attributes = vec![
            LinkAttribute::IfName(spec.name.clone()),
            LinkAttribute::Address(spec.mac.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        attributes.extend(spec.mtu.map(LinkAttribute::Mtu));
        self.create(Attempt("create bridge", &spec.name), attributes)
    }

    /// Makes a veth pair in one request; `EEXIST` where either name is taken.
    pub fn create_veth(&self, spec: &VethSpec<'_>) -> Result<(), Error> {
        let mut far = vec![
            LinkAttribute::IfName(spec.peer_name.clone()),
            LinkAttribute::NetNsFd(spec.peer_netns.as_raw_fd()),
        ];
        far.extend(
            spec.peer_mac
                .map(|mac| LinkAttribute::Address(mac.to_vec())),
        );
        far.extend(spec.mtu.map(LinkAttribute::Mtu));
        let mut near = vec![
            LinkAttribute::IfName(spec.name.clone()),
            LinkAttribute::Group(spec.group),
        ];
        near.extend(spec.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        near.extend(spec.controller.map(LinkAttribute::Controller));
        near.extend(spec.mtu.map(LinkAttribute::Mtu));
        near.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message(0, far)))),
        ]));
        self.create(Attempt("create veth", &spec.name), near)
    }

    fn create(
        &self,
        attempt: Attempt<'_, &String>,
        attributes: Vec<LinkAttribute>,
    ) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewLink(message(0, attributes));
        self.change(attempt, NLM_F_CREATE | NLM_F_EXCL, message)
    }
}

impl Link {
    /// Of an answer that came over `rtnl`; `None` where it is about something else.
    pub fn of(rtnl: &Rtnl, answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else {
            return None;
        };
        let mut link = Self {
            rtnl: rtnl.clone(),
            index: message.header.index,
            name: String::new(),
            mac: [0; 6],
            mtu: 0,
            kind: String::new(),
            alias: String::new(),
            group: 0,
            controller: None,
            peer_index: None,
            peer_netns: None,
            up: message.header.flags.contains(LinkFlags::Up),
            oper_up: false,
            oper_state: String::new(),
            promiscuity: 0,
            hairpin: None,
            isolated: None,
            routing: Routing::default(),
        };
        for attribute in message.attributes {
            link.read(attribute);
        }
        Some(link)
    }

    fn read(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::Address(mac) => self.mac = mac.try_into().unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::IfAlias(alias) => self.alias = alias,
            LinkAttribute::Group(group) => self.group = group,
            LinkAttribute::Controller(index) => self.controller = Some(index),
            LinkAttribute::Link(index) => self.peer_index = Some(index),
            LinkAttribute::LinkNetNsId(number) => self.peer_netns = Some(number),
            LinkAttribute::Promiscuity(count) => self.promiscuity = count,
            LinkAttribute::OperState(state) => {
                self.oper_up = state == State::Up;
                self.oper_state = format!("{state:?}").to_lowercase();
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    self.read_info(info);
                }
            }
            LinkAttribute::AfSpecUnspec(families) => self.routing = Routing::of(families),
            _ => {}
        }
    }

    fn read_info(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = kind.to_string(),
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                for setting in port {
                    match setting {
                        InfoBridgePort::HairpinMode(on) => self.hairpin = Some(on),
                        InfoBridgePort::Isolated(on) => self.isolated = Some(on),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Sets it up.
    pub fn set_up(&self) -> Result<(), Error> {
        self.set_flag("set up", LinkFlags::Up, true)
    }

    /// Notes `alias` on it and puts it into `group`, in one request; to be called before it is set up. Of a link that is up
    /// and cannot pass traffic yet the kernel would tell everybody, and IPv6 walks all its routes then.
    pub fn tag(&self, alias: &str, group: u32) -> Result<(), Error> {
        let message = RouteNetlinkMessage::SetLink(message(self.index, tag(alias, group)));
        self.rtnl.change(Attempt("tag", &self.name), 0, message)
    }

    /// Sets it down.
    pub fn set_down(&self) -> Result<(), Error> {
        self.set_flag("set down", LinkFlags::Up, false)
    }

    /// Makes it receive every frame.
    pub fn set_promiscuous(&self) -> Result<(), Error> {
        self.set_flag("set promiscuous", LinkFlags::Promisc, true)
    }

    fn set_flag(&self, action: &str, flag: LinkFlags, on: bool) -> Result<(), Error> {
        let mut message = message(self.index, Vec::new());
        message.header.change_mask = flag;
        message.header.flags = if on { flag } else { LinkFlags::empty() };
        self.rtnl.change(
            Attempt(action, &self.name),
            0,
            RouteNetlinkMessage::SetLink(message),
        )
    }

    /// Gives it a hardware address, which it then keeps.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        let message = message(self.index, vec![LinkAttribute::Address(mac.to_vec())]);
        let attempt = Attempt("set hardware address of", &self.name);
        self.rtnl
            .change(attempt, 0, RouteNetlinkMessage::SetLink(message))
    }

    /// Sets the port's flags and tags it, in one request; see [`Link::tag`]. It is put into group 0.
    pub fn tag_port(&self, port: PortFlags, alias: &str) -> Result<(), Error> {
        let settings = vec![
            InfoBridgePort::HairpinMode(port.hairpin),
            InfoBridgePort::Isolated(port.isolated),
        ];
        let mut attributes = tag(alias, 0);
        attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)),
        ]));
        let message = RouteNetlinkMessage::NewLink(message(self.index, attributes));
        let attempt = Attempt("set bridge port flags of", &self.name);
        self.rtnl.change(attempt, 0, message)
    }

    /// Deletes it; one that is gone is fine.
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

    /// "10.0.0.2/24 on eth0", for errors.
    pub(crate) fn object(&self, ip: IpAddr, prefix: u8) -> String {
        format!("{ip}/{prefix} on {}", self.name)
    }
}

fn tag(alias: &str, group: u32) -> Vec<LinkAttribute> {
    vec![
        LinkAttribute::IfAlias(alias.to_owned()),
        LinkAttribute::Group(group),
    ]
}

/// Asks for one link, or for all; without its counters, which are half of what the kernel would tell, and the half that it
/// has to add up.
fn look_up(index: u32, name: Option<LinkAttribute>) -> RouteNetlinkMessage {
    let mut attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    attributes.extend(name);
    RouteNetlinkMessage::GetLink(message(index, attributes))
}

pub(crate) fn message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}
