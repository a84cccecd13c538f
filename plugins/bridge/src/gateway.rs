//! The gateway addresses of the bridge. Pure.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::{Family, PerFamily};
use linkspan_protocol::result::{AddResult, Route};

use crate::conf::Plan;

/// Fills in the gateways and default routes of `result`, and returns the bridge's addresses, IPv4 first.
pub(crate) fn adopt(result: &mut AddResult, plan: &Plan) -> Vec<Cidr> {
    let mut addresses = Vec::new();
    let mut seen = PerFamily::<bool>::default();
    for ip in &mut result.ips {
        let address = ip.address;
        if plan.is_gateway && ip.gateway.is_none() {
            ip.gateway = Some(first_of(address));
        }
        let seen = seen.get_mut(Family::of(address.ip()));
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
    // Addresses of one subnet have one gateway.
    let mut seen = HashSet::new();
    addresses.retain(|cidr| seen.insert(*cidr));
    addresses.sort_by_key(|cidr| Family::of(cidr.ip()));
    addresses
}

fn first_of(address: Cidr) -> IpAddr {
    match address.network() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).wrapping_add(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).wrapping_add(1)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::tests::plan;
    use linkspan_protocol::result::IpConfig;

    fn leased(addresses: &[&str]) -> AddResult {
        let ip = |text: &&str| IpConfig {
            interface: None,
            address: Cidr::parse(text).unwrap(),
            gateway: None,
        };
        AddResult {
            ips: addresses.iter().map(ip).collect(),
            ..AddResult::default()
        }
    }

    fn adopted(keys: &str, result: &mut AddResult) -> Vec<String> {
        let addresses = adopt(result, &plan(keys, "").unwrap());
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_a_gateway_nothing_is_added() {
        let mut result = leased(&["10.0.0.9/24"]);
        assert!(adopted("", &mut result).is_empty());
        assert_eq!(result, leased(&["10.0.0.9/24"]));
    }

    #[test]
    fn the_networks_first_address_is_the_gateway_with_ipv4_first() {
        let mut result = leased(&["fd00::9/64", "10.0.0.9/24", "10.0.0.8/24"]);
        assert_eq!(
            adopted(r#","isGateway":true"#, &mut result),
            ["10.0.0.1/24", "fd00::1/64"]
        );
        assert!(result.routes.is_empty());
    }

    #[test]
    fn a_gateway_from_ipam_is_kept() {
        let mut result = leased(&["10.0.0.9/24"]);
        result.ips[0].gateway = Some([10, 0, 0, 254].into());
        assert_eq!(
            adopted(r#","isGateway":true"#, &mut result),
            ["10.0.0.254/24"]
        );
    }

    #[test]
    fn each_family_gets_one_default_route_unless_ipam_gave_one_with_a_next_hop() {
        let mut result = leased(&["10.0.0.9/24", "10.1.0.9/24", "fd00::9/64"]);
        let given = Route::via(Cidr::parse("::/0").unwrap(), "fd00::5".parse().ok());
        result.routes.push(given.clone());
        adopted(r#","isDefaultGateway":true"#, &mut result);
        let default = Cidr::parse("0.0.0.0/0").unwrap();
        let added = Route::via(default, Some([10, 0, 0, 1].into()));
        assert_eq!(result.routes, [given, added]);
    }
}
