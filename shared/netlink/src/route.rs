//! Routes.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;

use crate::addr::kernel;
use crate::encap::Encap;
use crate::error::Error;
use crate::link::Link;
use crate::request::Attempt;
use crate::rtnl::Rtnl;
use crate::stored::{Stored, ip};

/// `RT_TABLE_MAIN` of linux/rtnetlink.h.
pub const MAIN: u32 = 254;
/// `RT_TABLE_LOCAL` of linux/rtnetlink.h: the namespace's own addresses.
pub const LOCAL: u32 = 255;
/// `RT_SCOPE_LINK` of linux/rtnetlink.h: the destination is on the link itself.
pub const SCOPE_LINK: u8 = 253;

/// A route to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSpec {
    /// Destination and prefix length.
    pub dst: (IpAddr, u8),
    /// Next hop; default: on the link.
    pub gw: Option<IpAddr>,
    /// Whether the next hop is taken as on the link, whatever the routes to it are.
    pub onlink: bool,
    /// The host's source address on this route.
    pub src: Option<IpAddr>,
    /// Metric; 0 = the kernel's default.
    pub priority: u32,
    /// Routing table; default: main.
    pub table: Option<u32>,
    /// Scope as the kernel numbers it; default: universe.
    pub scope: Option<u8>,
    /// MTU along the path in bytes; 0 = not set.
    pub mtu: u32,
    /// Maximal segment size to advertise in bytes; 0 = not set.
    pub advmss: u32,
    /// The origin of the route, as the kernel numbers it; default: `boot`.
    pub protocol: Option<u8>,
    /// The far end, if the link is a tunnel that needs one.
    pub encap: Option<Encap>,
}

/// A route with one next hop. A route of the kernel with several next hops becomes several values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination and prefix length; a default route has the unspecified address and 0.
    pub dst: (IpAddr, u8),
    /// Next hop.
    pub gw: Option<IpAddr>,
    /// Index of the link.
    pub oif: Option<u32>,
    /// The routing table.
    pub table: u32,
    /// Whether the route is from a router advertisement.
    pub advertised: bool,
    /// The origin of the route, as the kernel numbers it.
    pub protocol: u8,
    /// The far end, if the route leads into a tunnel.
    pub encap: Option<Encap>,
    /// The host's source address on this route.
    pub src: Option<IpAddr>,
}

/// The kernel's decision on a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup {
    /// Whether the packet stays on this host.
    pub local: bool,
    /// Index of the outgoing link.
    pub oif: Option<u32>,
    /// Next hop; absent if that is the destination itself.
    pub gw: Option<IpAddr>,
    /// The host's source address for the packet.
    pub src: Option<IpAddr>,
}

impl RouteSpec {
    /// A plain route to `dst`.
    pub fn to(dst: IpAddr, prefix: u8) -> Self {
        Self {
            dst: (dst, prefix),
            gw: None,
            onlink: false,
            src: None,
            priority: 0,
            table: None,
            scope: None,
            mtu: 0,
            advmss: 0,
            protocol: None,
            encap: None,
        }
    }
}

impl Link {
    /// Adds a route through this link. Routes with one destination may differ in next hop.
    pub fn add_route(&self, spec: &RouteSpec) -> Result<(), Error> {
        self.put_route("add route", spec, NLM_F_CREATE)
    }

    /// Adds a route, or replaces the route with the same destination and metric.
    pub fn replace_route(&self, spec: &RouteSpec) -> Result<(), Error> {
        self.put_route("replace route", spec, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// The route as the kernel would keep it.
    pub fn stored(&self, spec: &RouteSpec) -> Stored {
        let (_, message) = self.route_message(spec);
        Stored {
            family: Family::of(spec.dst.0),
            message,
        }
    }

    fn put_route(&self, action: &str, spec: &RouteSpec, flags: u16) -> Result<(), Error> {
        let (object, message) = self.route_message(spec);
        let message = RouteNetlinkMessage::NewRoute(message);
        self.rtnl.change(Attempt(action, object), flags, message)
    }

    /// A description of the route, and the kernel's message for it.
    fn route_message(&self, spec: &RouteSpec) -> (String, RouteMessage) {
        let mut message = RouteMessage::default();
        let (dst, prefix) = spec.dst;
        message.header.address_family = kernel(Family::of(dst));
        message.header.destination_prefix_length = prefix;
        message.header.protocol = spec.protocol.map_or(RouteProtocol::Boot, Into::into);
        message.header.kind = RouteType::Unicast;
        message.header.scope = RouteScope::from(spec.scope.unwrap_or(0));
        if spec.onlink {
            message.header.flags = RouteFlags::Onlink;
        }
        message.attributes.push(RouteAttribute::Oif(self.index));
        if prefix > 0 {
            message
                .attributes
                .push(RouteAttribute::Destination(dst.into()));
        }
        match spec.table.map(u8::try_from) {
            None | Some(Ok(0)) => message.header.table = RouteHeader::RT_TABLE_MAIN,
            Some(Ok(table)) => message.header.table = table,
            Some(Err(_)) => message
                .attributes
                .extend(spec.table.map(RouteAttribute::Table)),
        }
        let gateway = spec.gw.map(|gw| RouteAttribute::Gateway(gw.into()));
        message.attributes.extend(gateway);
        message
            .attributes
            .extend(spec.encap.into_iter().flat_map(Encap::attributes));
        let source = spec.src.map(|src| RouteAttribute::PrefSource(src.into()));
        message.attributes.extend(source);
        if spec.priority > 0 {
            message
                .attributes
                .push(RouteAttribute::Priority(spec.priority));
        }
        let metrics = [
            (spec.mtu, RouteMetric::Mtu(spec.mtu)),
            (spec.advmss, RouteMetric::Advmss(spec.advmss)),
        ];
        let metrics: Vec<_> = metrics
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(_, m)| m)
            .collect();
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        let object = match spec.gw {
            Some(gw) => format!("{dst}/{prefix} via {gw} dev {}", self.name),
            None => format!("{dst}/{prefix} dev {}", self.name),
        };
        (object, message)
    }
}

impl Rtnl {
    /// Deletes a route of the main table by its fields, protocol included. A missing route is not an error.
    pub fn delete_route(&self, route: &Route) -> Result<(), Error> {
        let (dst, prefix) = route.dst;
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(Family::of(dst));
        message.header.destination_prefix_length = prefix;
        message.header.protocol = route.protocol.into();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.scope = RouteScope::NoWhere;
        message
            .attributes
            .push(RouteAttribute::Destination(dst.into()));
        message
            .attributes
            .extend(route.gw.map(|gw| RouteAttribute::Gateway(gw.into())));
        message
            .attributes
            .extend(route.oif.map(RouteAttribute::Oif));
        let attempt = Attempt("delete route", format!("{dst}/{prefix}"));
        match self.change(attempt, 0, RouteNetlinkMessage::DelRoute(message)) {
            Err(err) if err.is(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    /// Looks up the route of a packet to `dst`; `None` if there is no route.
    pub fn lookup(&self, dst: IpAddr) -> Result<Option<Lookup>, Error> {
        self.lookup_from(None, dst)
    }

    /// The same of a packet that is from `src` already, which has to be an address of this namespace.
    pub fn lookup_from(&self, src: Option<IpAddr>, dst: IpAddr) -> Result<Option<Lookup>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(Family::of(dst));
        message.header.destination_prefix_length = Family::of(dst).host_prefix();
        message.attributes = vec![RouteAttribute::Destination(dst.into())];
        if let Some(src) = src {
            message.header.source_prefix_length = Family::of(src).host_prefix();
            message.attributes.push(RouteAttribute::Source(src.into()));
        }
        let attempt = Attempt("look up the route to", dst);
        let found = match self.get(attempt, RouteNetlinkMessage::GetRoute(message)) {
            Err(err) if err.is(Errno::ENETUNREACH) || err.is(Errno::EHOSTUNREACH) => None,
            found => found?,
        };
        Ok(found.and_then(Lookup::of))
    }

    /// The routes of the main table.
    pub fn routes(&self, family: Family) -> Result<Vec<Route>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        Ok(found
            .into_iter()
            .flat_map(|route| Route::of(route, family))
            .filter(|route| route.table == MAIN)
            .collect())
    }

    /// The routes of every table, except routes to the host itself.
    pub fn routes_of_every_table(&self, family: Family) -> Result<Vec<Route>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        let routes = found.into_iter().flat_map(|route| Route::of(route, family));
        Ok(routes.filter(|route| route.table != LOCAL).collect())
    }

    /// The routes of the main table by one link.
    pub fn routes_by(&self, link: &Link, family: Family) -> Result<Vec<Route>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.attributes = vec![RouteAttribute::Oif(link.index)];
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        let routes = found.into_iter().flat_map(|route| Route::of(route, family));
        Ok(routes
            .filter(|route| route.table == MAIN && route.oif == Some(link.index))
            .collect())
    }

    /// Destinations and prefix lengths of the routes of every table and type, without default routes.
    pub fn destinations(&self, family: Family) -> Result<Vec<(IpAddr, u8)>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        Ok(found.into_iter().filter_map(destination).collect())
    }
}

/// Decodes a reply. Returns `None` for a default route and for any other message type.
fn destination(answer: RouteNetlinkMessage) -> Option<(IpAddr, u8)> {
    let RouteNetlinkMessage::NewRoute(message) = answer else {
        return None;
    };
    let dst = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(dst) => ip(dst),
            _ => None,
        });
    Some((dst?, message.header.destination_prefix_length)).filter(|(_, prefix)| *prefix > 0)
}

impl Route {
    /// Decodes a reply, one value for each next hop. Returns none for any other message type.
    pub fn of(answer: RouteNetlinkMessage, family: Family) -> Vec<Self> {
        let RouteNetlinkMessage::NewRoute(message) = answer else {
            return Vec::new();
        };
        if message.header.flags.contains(RouteFlags::Cloned) {
            return Vec::new();
        }
        let mut route = Self {
            dst: (
                family.unspecified(),
                message.header.destination_prefix_length,
            ),
            gw: None,
            oif: None,
            table: message.header.table.into(),
            advertised: message.header.protocol == RouteProtocol::Ra,
            protocol: message.header.protocol.into(),
            encap: None,
            src: None,
        };
        let mut several = Vec::new();
        for attribute in message.attributes {
            match attribute {
                RouteAttribute::Destination(dst) => match ip(&dst) {
                    Some(dst) => route.dst.0 = dst,
                    None => return Vec::new(),
                },
                RouteAttribute::Gateway(gw) => route.gw = ip(&gw),
                RouteAttribute::Oif(index) => route.oif = Some(index),
                RouteAttribute::Table(table) => route.table = table,
                RouteAttribute::PrefSource(src) => route.src = ip(&src),
                RouteAttribute::Encap(items) => route.encap = Encap::of(&items),
                RouteAttribute::MultiPath(hops) => several = hops,
                _ => {}
            }
        }
        if several.is_empty() {
            return vec![route];
        }
        let by = |hop: &RouteNextHop| {
            let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Gateway(gw) => ip(gw),
                _ => None,
            });
            Self {
                gw: gateway,
                oif: Some(hop.interface_index),
                ..route.clone()
            }
        };
        several.iter().map(by).collect()
    }
}

impl Lookup {
    /// Decodes a reply. Returns `None` for any other message type.
    pub fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRoute(message) = answer else {
            return None;
        };
        let mut lookup = Self {
            local: message.header.kind == RouteType::Local,
            oif: None,
            gw: None,
            src: None,
        };
        for attribute in message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => lookup.oif = Some(index),
                RouteAttribute::Gateway(gw) => lookup.gw = ip(&gw),
                RouteAttribute::PrefSource(src) => lookup.src = ip(&src),
                _ => {}
            }
        }
        Some(lookup)
    }
}
