//! Links: looking them up, making, changing and deleting them.

mod change;
mod kind;
mod read;
mod spec;

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use nix::errno::Errno;

use crate::error::Error;
use crate::request::Attempt;
use crate::routing::Routing;
use crate::rtnl::Rtnl;

pub use change::PortFlags;
pub use kind::{
    Ipvlan, IpvlanMode, IpvlanReach, Kind, Macvlan, MacvlanMode, QosMap, Tun, Vlan, VlanProtocol,
    Vxlan,
};
pub use spec::{LinkSpec, Peer};

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
    /// What it is.
    pub kind: Kind,
    /// What somebody noted on it; empty where nobody did.
    pub alias: String,
    /// The group that it is in; 0 where nobody put it into one.
    pub group: u32,
    /// Index of the bridge or VRF that it is a port of.
    pub controller: Option<u32>,
    /// Index of a veth's other end, or of the link that a macvlan, ipvlan or VLAN is born on, in that link's namespace.
    pub peer_index: Option<u32>,
    /// The kernel's number for the namespace of that other link, where it is another one; negative once that is dead.
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

    /// Makes a link, down. `EEXIST` where any link of its namespace has its name.
    pub fn create(&self, spec: &LinkSpec<'_>) -> Result<(), Error> {
        self.make(spec, spec.attributes())
    }

    /// Makes a veth pair in one request, both ends down, each born in its namespace. `EEXIST` where either name is taken.
    pub fn create_pair(&self, near: &LinkSpec<'_>, far: &Peer<'_>) -> Result<(), Error> {
        self.make(near, near.attributes_with(far))
    }

    /// Whether the kernel has links of that kind. It loads the module, where it has one, as it does for an ADD.
    ///
    /// The request is one that the kernel refuses after it has looked for the kind, so nothing is made.
    pub fn knows(&self, kind: &Kind) -> Result<bool, Error> {
        let mut attributes = LinkSpec::new("", kind.clone()).attributes();
        attributes.retain(|attribute| !matches!(attribute, LinkAttribute::IfName(_)));
        attributes.push(LinkAttribute::NumTxQueues(0));
        let message = RouteNetlinkMessage::NewLink(message(0, attributes));
        let attempt = Attempt("look for links of kind", kind);
        match self.change(attempt, NLM_F_CREATE | NLM_F_EXCL, message) {
            Err(err) if err.is(Errno::EINVAL) => Ok(true),
            Err(err) if err.is(Errno::EOPNOTSUPP) => Ok(false),
            refused => refused.map(|()| true),
        }
    }

    fn make(&self, spec: &LinkSpec<'_>, attributes: Vec<LinkAttribute>) -> Result<(), Error> {
        let action = format!("create {}", spec.kind);
        let message = RouteNetlinkMessage::NewLink(message(0, attributes));
        let attempt = Attempt(&action, &spec.name);
        self.change(attempt, NLM_F_CREATE | NLM_F_EXCL, message)
    }
}

impl Link {
    /// Makes a link on this one, down; see [`Rtnl::create`].
    pub fn create_child(&self, spec: &LinkSpec<'_>) -> Result<(), Error> {
        let mut attributes = spec.attributes();
        attributes.push(LinkAttribute::Link(self.index));
        self.rtnl.make(spec, attributes)
    }

    /// "10.0.0.2/24 on eth0", for errors.
    pub(crate) fn object(&self, ip: IpAddr, prefix: u8) -> String {
        format!("{ip}/{prefix} on {}", self.name)
    }
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
