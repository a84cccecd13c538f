//! Complete routes of the kernel, which can be removed and restored, or moved to another table.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType,
};

use crate::addr::kernel;
use crate::error::Error;
use crate::request::Attempt;
use crate::rtnl::Rtnl;

/// A route with all of its next hops, metrics and marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub(crate) family: Family,
    pub(crate) message: RouteMessage,
}

/// A next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// Gateway; none if on the link.
    pub gw: Option<IpAddr>,
    /// Index of the link.
    pub oif: Option<u32>,
    /// Its share of the traffic, at least 1.
    pub weight: u16,
}

impl Rtnl {
    /// The routes of every table, including routes to the host itself (table 255).
    pub fn stored_routes(&self, family: Family) -> Result<Vec<Stored>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        let routes = found.into_iter();
        Ok(routes
            .filter_map(|route| Stored::of(route, family))
            .collect())
    }

    /// Adds a stored route; `EEXIST` if an equal one exists.
    pub fn add_stored(&self, route: &Stored) -> Result<(), Error> {
        self.put_stored("add route", route, NLM_F_CREATE)
    }

    /// The same; `EEXIST` also if the table has another route with that destination and metric.
    pub fn add_first_stored(&self, route: &Stored) -> Result<(), Error> {
        self.put_stored("add route", route, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Replaces the route with the same destination and metric.
    pub fn replace_stored(&self, route: &Stored) -> Result<(), Error> {
        self.put_stored("replace route", route, NLM_F_CREATE | NLM_F_REPLACE)
    }

    fn put_stored(&self, action: &str, route: &Stored, flags: u16) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(route.message.clone());
        self.change(Attempt(action, route.describe()), flags, message)
    }

    /// Deletes exactly this route; `ESRCH` if it is gone.
    pub fn delete_stored(&self, route: &Stored) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRoute(route.message.clone());
        self.change(Attempt("delete route", route.describe()), 0, message)
    }
}

impl Stored {
    /// Decodes a reply. Returns `None` for the kernel's cached clones and for any other message type.
    pub fn of(answer: RouteNetlinkMessage, family: Family) -> Option<Self> {
        let RouteNetlinkMessage::NewRoute(mut message) = answer else {
            return None;
        };
        if message.header.flags.contains(RouteFlags::Cloned) {
            return None;
        }
        // The other flags are read-only.
        message.header.flags &= RouteFlags::Onlink;
        message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RouteAttribute::CacheInfo(_) | RouteAttribute::MfcStats(_)
            )
        });
        for attribute in &mut message.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                for hop in hops {
                    hop.flags &= RouteNextHopFlags::Onlink;
                }
            }
        }
        Some(Self { family, message })
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Destination and prefix length; a default route has the unspecified address and 0.
    pub fn dst(&self) -> (IpAddr, u8) {
        let dst = self.find(|attribute| match attribute {
            RouteAttribute::Destination(dst) => ip(dst),
            _ => None,
        });
        let prefix = self.message.header.destination_prefix_length;
        (dst.unwrap_or(self.family.unspecified()), prefix)
    }

    /// Returns whether it is a default route.
    pub fn is_default(&self) -> bool {
        self.message.header.destination_prefix_length == 0
    }

    /// The routing table.
    pub fn table(&self) -> u32 {
        let table = self.find(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        table.unwrap_or(self.message.header.table.into())
    }

    /// Metric; lower ones come first.
    pub fn priority(&self) -> u32 {
        let priority = self.find(|attribute| match attribute {
            RouteAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
        priority.unwrap_or_default()
    }

    /// The host's source address on this route.
    pub fn src(&self) -> Option<IpAddr> {
        self.find(|attribute| match attribute {
            RouteAttribute::PrefSource(src) => ip(src),
            _ => None,
        })
    }

    /// Scope as the kernel numbers it: 0 universe, 253 link, 254 host.
    pub fn scope(&self) -> u8 {
        self.message.header.scope.into()
    }

    /// The origin of the route, as the kernel numbers it.
    pub fn protocol(&self) -> u8 {
        self.message.header.protocol.into()
    }

    /// Returns whether the kernel derived the route from an address.
    pub fn is_of_the_kernel(&self) -> bool {
        self.message.header.protocol == RouteProtocol::Kernel
    }

    /// Returns whether the route is from a router advertisement.
    pub fn is_advertised(&self) -> bool {
        self.message.header.protocol == RouteProtocol::Ra
    }

    /// Returns whether the route is unicast, as opposed to local, multicast or blackhole.
    pub fn is_unicast(&self) -> bool {
        self.message.header.kind == RouteType::Unicast
    }

    /// Returns whether a next hop is a gateway, which the kernel must reach by an earlier route.
    pub fn has_gateway(&self) -> bool {
        self.hops().iter().any(|hop| hop.gw.is_some())
    }

    /// The next hops; none for a route that leads nowhere.
    pub fn hops(&self) -> Vec<NextHop> {
        let several = self.find(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops.iter().map(next_hop).collect()),
            _ => None,
        });
        let one = || {
            let attributes = &self.message.attributes;
            let (gw, oif) = (gateway(attributes), link(attributes));
            let weight = 1;
            Vec::from_iter(
                (gw, oif)
                    .ne(&(None, None))
                    .then_some(NextHop { gw, oif, weight }),
            )
        };
        several.unwrap_or_else(one)
    }

    /// Returns whether the route's form allows several next hops.
    pub fn has_several(&self) -> bool {
        let is_list = |attribute: &RouteAttribute| match attribute {
            RouteAttribute::MultiPath(_) => Some(()),
            _ => None,
        };
        self.find(is_list).is_some()
    }

    /// Returns whether a next hop leaves through the link with this index.
    pub fn leaves_by(&self, index: u32) -> bool {
        self.hops().iter().any(|hop| hop.oif == Some(index))
    }

    /// The route with only those of its next hops that leave by the link; `None` if all of them do.
    #[must_use]
    pub fn part_by(&self, index: u32) -> Option<Self> {
        self.part(|hop| hop.interface_index == index)
    }

    /// The route with only its other next hops; `None` without any.
    #[must_use]
    pub fn part_beside(&self, index: u32) -> Option<Self> {
        self.part(|hop| hop.interface_index != index)
    }

    fn part(&self, keeps: impl Fn(&RouteNextHop) -> bool) -> Option<Self> {
        let mut part = self.clone();
        let mut is_less = false;
        for attribute in &mut part.message.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                let all = hops.len();
                hops.retain(&keeps);
                is_less = (1..all).contains(&hops.len());
            }
        }
        is_less.then_some(part)
    }

    /// The same route in another table.
    #[must_use]
    pub fn in_table(mut self, table: u32) -> Self {
        let attributes = &mut self.message.attributes;
        attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Table(_)));
        attributes.push(RouteAttribute::Table(table));
        // The attribute overrides the header.
        self.message.header.table = u8::try_from(table).unwrap_or_default();
        self
    }

    /// The same route with all of its next hops on the link with this index, for another namespace.
    #[must_use]
    pub fn by_link(mut self, index: u32) -> Self {
        let attributes = &mut self.message.attributes;
        // A next hop object stays behind in its namespace, and the route has its content, too.
        attributes.retain(|attribute| !matches!(attribute, RouteAttribute::NhId(_)));
        for attribute in attributes {
            match attribute {
                RouteAttribute::Oif(link) => *link = index,
                RouteAttribute::MultiPath(hops) => {
                    for hop in hops {
                        hop.interface_index = index;
                    }
                }
                _ => {}
            }
        }
        self
    }

    /// The same route with another scope.
    #[must_use]
    pub fn with_scope(mut self, scope: u8) -> Self {
        self.message.header.scope = RouteScope::from(scope);
        self
    }

    fn find<T>(&self, pick: impl Fn(&RouteAttribute) -> Option<T>) -> Option<T> {
        self.message.attributes.iter().find_map(pick)
    }

    /// The route in the syntax of `ip route`.
    pub fn describe(&self) -> String {
        let (dst, prefix) = self.dst();
        let mut words = format!("{dst}/{prefix}");
        for gw in self.hops().iter().filter_map(|hop| hop.gw) {
            words.extend([" via ".to_owned(), gw.to_string()]);
        }
        format!("{words} in table {}", self.table())
    }
}

fn next_hop(hop: &RouteNextHop) -> NextHop {
    NextHop {
        gw: gateway(&hop.attributes),
        oif: Some(hop.interface_index),
        // The kernel reports the weight minus one.
        weight: u16::from(hop.hops) + 1,
    }
}

/// The gateway, of either family.
fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(gw) => ip(gw),
        RouteAttribute::Via(via) => match via {
            netlink_packet_route::route::RouteVia::Inet(gw) => Some((*gw).into()),
            netlink_packet_route::route::RouteVia::Inet6(gw) => Some((*gw).into()),
            _ => None,
        },
        _ => None,
    })
}

fn link(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

pub(crate) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}
