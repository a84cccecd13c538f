//! Links and routes of the kernel in the words of pictures.

use std::net::IpAddr;

use linkspan_netlink::link::Link;
use linkspan_netlink::route::{MAIN, Route as Known};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::model::Route;

/// The kind of a link in one word.
pub(super) fn kind(link: &Link) -> String {
    match link.kind.as_str() {
        "" => "device".to_owned(),
        kind => kind.to_owned(),
    }
}

/// Addresses with the lengths of their prefixes.
pub(super) fn texts(addresses: &[Cidr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// The routes that an operator thinks of, IPv4 first and default routes before others. In the main table an address implies
/// the route to its own network, and every link has those of its own scope.
pub(super) fn routes(mut all: Vec<&Known>, own: &[Cidr]) -> Vec<Route> {
    let is_implied = |route: &Known| {
        let is_own = |one: &Cidr| (one.network(), one.prefix()) == route.dst;
        route.table == MAIN && route.gw.is_none() && own.iter().any(is_own)
    };
    let is_of_link = |route: &Known| match route.dst.0 {
        IpAddr::V4(ip) => ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local(),
    };
    all.retain(|route| !is_implied(route) && !is_of_link(route));
    let is_six = |route: &Known| Family::of(route.dst.0) == Family::V6;
    all.sort_by_key(|route| (is_six(route), route.dst.1 > 0, route.dst, route.gw));
    let told = |known: &Known| route(known.dst, known.gw);
    all.into_iter().map(told).collect()
}

/// A route in words.
pub(super) fn route((dst, prefix): (IpAddr, u8), gw: Option<IpAddr>) -> Route {
    Route {
        dst: match prefix {
            0 => "default".to_owned(),
            prefix => format!("{dst}/{prefix}"),
        },
        via: gw.map(|gw| gw.to_string()),
    }
}
