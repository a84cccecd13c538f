//! What the kernel tells of links and routes, as pictures have it.

use linkspan_netlink::link::Link;
use linkspan_netlink::route::{MAIN, Route as Known};
use linkspan_protocol::family::Family;

use super::model::Route;

/// `RTPROT_KERNEL` of linux/rtnetlink.h: the route of an address to its own network.
const OF_ADDRESS: u8 = 2;

/// The kind of a link in one word.
pub(super) fn kind(link: &Link) -> String {
    match link.kind.as_str() {
        "" => "device".to_owned(),
        kind => kind.to_owned(),
    }
}

/// The routes that an operator thinks of, IPv4 first and default routes before others. An address implies the route to its own network,
/// and every link has those of its own scope.
pub(super) fn routes(mut all: Vec<&Known>) -> Vec<Route> {
    let is_plain = |route: &&Known| {
        let is_implied = route.table == MAIN && route.protocol == OF_ADDRESS;
        let is_of_link = match route.dst.0 {
            std::net::IpAddr::V4(ip) => ip.is_multicast(),
            std::net::IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local(),
        };
        !is_implied && !is_of_link
    };
    all.retain(is_plain);
    all.sort_by_key(|route| {
        (
            Family::of(route.dst.0) == Family::V6,
            route.dst.1 > 0,
            route.dst,
            route.gw,
        )
    });
    all.iter().map(|route| one(route)).collect()
}

fn one(route: &Known) -> Route {
    let (dst, prefix) = route.dst;
    Route {
        dst: match prefix {
            0 => "default".to_owned(),
            prefix => format!("{dst}/{prefix}"),
        },
        via: route.gw.map(|gw| gw.to_string()),
    }
}
