//! Links: looking up, creating, changing and deleting them.

mod bridge_vlan;
mod change;
mod kind;
mod read;
mod spec;

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use nix::errno::Errno;

use crate::error::Error;
use crate::request::Attempt;
use crate::routing::Routing;
use crate::rtnl::Rtnl;

pub use bridge_vlan::{Filtering, PortVlan, VLAN_IDS, port_vlans};
pub use change::PortFlags;
pub use kind::{
    Ipvlan, IpvlanMode, IpvlanReach, Kind, Macvlan, MacvlanMode, Netkit, QosMap, Tun, Vlan,
    VlanProtocol, Vxlan,
};
pub use spec::{LinkSpec, Peer};

/// A snapshot of a link, with the handle to change the link.
#[derive(Debug, Clone)]
pub struct Link {
    pub(crate) rtnl: Rtnl,
    /// Index within its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address; zero unless it has 48 bits.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Kind.
    pub kind: Kind,
    /// Alias; empty by default.
    pub alias: String,
    /// Group; 0 by default.
    pub group: u32,
    /// Index of the bridge or VRF that has the link as a port.
    pub controller: Option<u32>,
    /// Index of the other end of a pair, or of a macvlan's, ipvlan's or VLAN's parent, in the namespace of that other link.
    pub peer_index: Option<u32>,
    /// The kernel's number for that namespace, if it is another one; negative once the namespace is dead.
    pub peer_netns: Option<i32>,
    /// Whether the link is set up.
    pub up: bool,
    /// Whether the link can pass traffic.
    pub oper_up: bool,
    /// Operational state in the kernel's words.
    pub oper_state: String,
    /// Number of users of promiscuous mode.
    pub promiscuity: u32,
    /// Bridge port: frames may leave by the port on which they arrived.
    pub hairpin: Option<bool>,
    /// Bridge port: frames do not pass to other isolated ports.
    pub isolated: Option<bool>,
    /// Bridge: VLAN filtering; absent for other links, and if the kernel lacks it.
    pub filtering: Option<Filtering>,
    /// Bridge port: whether the spanning tree lets frames pass.
    pub forwarding: Option<bool>,
    /// Routing sysctls.
    pub routing: Routing,
}

impl Rtnl {
    /// Looks up a link by name, or by an alternative name, of which a link may have several.
    pub fn link_by_name(&self, name: &str) -> Result<Option<Link>, Error> {
        let found = self.get(Attempt("look up link", name), look_up(0, Some(named(name))));
        Ok(found?.and_then(|answer| Link::of(self, answer)))
    }

    /// Looks up a link by index.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>, Error> {
        let attempt = Attempt("look up link with index", index);
        let found = self.get(attempt, look_up(index, None))?;
        Ok(found.and_then(|answer| Link::of(self, answer)))
    }

    /// Every link, by index. If changes interrupt every dump, returns the union of all attempts: every link that
    /// existed throughout is included, and deleted ones may be.
    pub fn links(&self) -> Result<Vec<Link>, Error> {
        let (found, _at_one_moment) = self.dumps(&Attempt("list", "links"), &look_up(0, None))?;
        let links = found.into_iter().filter_map(|link| Link::of(self, link));
        let by_index: BTreeMap<u32, Link> = links.map(|link| (link.index, link)).collect();
        Ok(by_index.into_values().collect())
    }

    /// Creates a link, down. `EEXIST` if a link of its namespace has the name.
    pub fn create(&self, spec: &LinkSpec<'_>) -> Result<(), Error> {
        self.make(spec, spec.attributes())
    }

    /// Creates a pair in one request, both ends down, each born in its namespace. `EEXIST` if a name is taken.
    pub fn create_pair(&self, near: &LinkSpec<'_>, far: &Peer<'_>) -> Result<(), Error> {
        self.make(near, near.attributes_with(far))
    }

    /// Returns whether the kernel supports the kind. As with an ADD, the kernel loads the kind's module.
    ///
    /// The kernel looks up the kind before it refuses the request, so nothing is created.
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
    /// Creates a link on this one, down; see [`Rtnl::create`].
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

/// A name to look for. The kernel takes one that is too long for a name as an alternative one alone.
fn named(name: &str) -> LinkAttribute {
    /// `IFNAMSIZ` without the end of the text, and `IFLA_ALT_IFNAME` of `linux/if_link.h`.
    const LONGEST: usize = 15;
    const ALTERNATIVE: u16 = 53;
    if name.len() <= LONGEST {
        return LinkAttribute::IfName(name.to_owned());
    }
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    LinkAttribute::Other(DefaultNla::new(ALTERNATIVE, text))
}

/// Asks for one link, or for all. Leaves out the counters: half of the reply, and the kernel must add them up.
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
