//! Next hops of default routes.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};

use crate::addr::kernel;
use crate::error::Error;
use crate::request::Attempt;
use crate::rtnl::Rtnl;
use crate::stored::ip;

impl Rtnl {
    /// The next hops of the default routes of every table. The kernel merges IPv6 routes of one metric into a single
    /// route with several next hops.
    pub fn gateways(&self, family: Family) -> Result<Vec<IpAddr>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = kernel(family);
        let message = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(Attempt("list", "routes"), &message)?;
        Ok(found.into_iter().flat_map(next_hops).collect())
    }
}

/// The next hops in a reply; none unless the reply is a default route.
fn next_hops(answer: RouteNetlinkMessage) -> Vec<IpAddr> {
    let RouteNetlinkMessage::NewRoute(message) = answer else {
        return Vec::new();
    };
    let is_default = message.header.destination_prefix_length == 0;
    if !is_default || message.header.flags.contains(RouteFlags::Cloned) {
        return Vec::new();
    }
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Gateway(gateway) => hops.extend(ip(gateway)),
            RouteAttribute::MultiPath(several) => {
                let each = several.iter().flat_map(|hop| &hop.attributes);
                hops.extend(each.filter_map(|attribute| match attribute {
                    RouteAttribute::Gateway(gateway) => ip(gateway),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    hops
}
