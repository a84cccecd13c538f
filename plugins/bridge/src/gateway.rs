//! The gateways that the bridge is to be. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::{AddResult, Route};

use crate::conf::Plan;

/// Fills in the gateways and default routes of `result`, and returns the bridge's addresses, IPv4 first.
pub(crate) fn adopt(result: &mut AddResult, plan: &Plan) -> Vec<Cidr> {
    let mut addresses = Vec::new();
    let (mut four, mut six) = (false, false);
    for ip in &mut result.ips {
        let address = ip.address;
        if plan.is_gateway && ip.gateway.is_none() {
            ip.gateway = Some(first_of(address));
        }
        let seen = if address.ip().is_ipv4() {
            &mut four
        } else {
            &mut six
        };
        if plan.is_default_gateway && !std::mem::replace(seen, true) {
            let default = Cidr::default_of(address.ip());
            let given = |route: &Route| route.dst == default && route.gw.is_some();
            if !result.routes.iter().any(given) {
                result.routes.push(Route::via(default, ip.gateway));
            }
        }
        if plan.is_gateway {
            addresses.extend(ip.gateway.and_then(|gw| Cidr::new(gw, address.prefix())));
        }
    }
    addresses.sort_by_key(|cidr| cidr.ip().is_ipv6());
    addresses
}

fn first_of(address: Cidr) -> IpAddr {
    match address.network() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).wrapping_add(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).wrapping_add(1)).into(),
    }
}
