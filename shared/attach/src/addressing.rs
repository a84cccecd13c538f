//! Configures the sandbox's end: sysctls, addresses, routes.

use std::net::IpAddr;
use std::time::Duration;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::{RouteSpec, SCOPE_LINK};
use linkspan_plugin::{Result, step};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, IpConfig, Route};

use crate::sysctl::{Sysctls, of_interface};
use crate::wishes::Wishes;
use crate::{Side, creation, kernel};

/// How long duplicate address detection may take; the kernel needs one to two seconds.
const DAD_DEADLINE: Duration = Duration::from_secs(5);

/// The other stations on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The stations of the subnet. `dad` enables IPv6 duplicate address detection and waits for its end.
    Subnet {
        /// Whether another station could have the address.
        dad: bool,
    },
    /// The gateway alone. It also routes to the rest of the subnet.
    PointToPoint,
}

/// Smaller links have no IPv6 (`IPV6_MIN_MTU` of linux/ipv6.h).
const IPV6_MIN_MTU: u32 = 1280;

/// Refuses addresses that no link could get, before anything is changed.
pub fn possible(side: &Side, result: &AddResult, mtu: Option<u32>) -> Result<()> {
    let mut addresses = result.ips.iter().map(|ip| ip.address);
    let Some(address) = addresses.find(|address| Family::of(address.ip()) == Family::V6) else {
        return Ok(());
    };
    if let Some(mtu) = mtu.filter(|mtu| *mtu < IPV6_MIN_MTU) {
        let text =
            format!("mtu {mtu} is less than the {IPV6_MIN_MTU} that IPv6 needs, for {address}");
        return Err(Failure::config(text).hint("set a larger \"mtu\", or give no IPv6 addresses"));
    }
    if side.sysctl(Sysctls::has_ipv6)? {
        return Ok(());
    }
    Err(
        Failure::config(format!("this kernel has no IPv6, for {address}"))
            .hint("start it without ipv6.disable=1, or give no IPv6 addresses"),
    )
}

/// Applies `result` to `link` in `sandbox` and brings it up.
pub fn apply(
    sandbox: &Side,
    link: &Link,
    result: &AddResult,
    scheme: Scheme,
    wishes: &Wishes,
) -> Result<()> {
    let _step = step("addresses");
    let ips = addresses_of(result, &link.name)?;
    let mut routes = routes_of(result, &ips)?;
    let dad = scheme == Scheme::Subnet { dad: true };
    let has_ipv6 = ready(sandbox, link, result, dad, wishes)?;
    for ip in &ips {
        let flags = AddrFlags {
            nodad: !dad,
            noprefixroute: scheme == Scheme::PointToPoint,
        };
        link.add_addr(ip.address.ip(), ip.address.prefix(), flags)
            .map_err(kernel)?;
    }
    creation::set_up(link)?;
    if has_ipv6 && dad {
        wait_for_dad(sandbox, link)?;
    }
    if scheme == Scheme::PointToPoint {
        let through = gateway_routes(&ips);
        for route in &through {
            link.add_route(route).map_err(kernel)?;
        }
        // `through` may contain a route of the result, too.
        routes.retain(|route| !through.iter().any(|there| is_same(there, route)));
        for route in &mut routes {
            route.onlink = is_neighbour(route.gw, &ips);
        }
    }
    for route in routes {
        link.add_route(&route).map_err(kernel)?;
    }
    Ok(())
}

/// Writes the sysctls that hold before the link is up. Returns whether it gets addresses of IPv6.
pub(crate) fn ready(
    sandbox: &Side,
    link: &Link,
    result: &AddResult,
    dad: bool,
    wishes: &Wishes,
) -> Result<bool> {
    let has_ipv6 = result.ips.iter().any(|ip| ip.address.ip().is_ipv6());
    sandbox.sysctl(|sysctls| prepare(sysctls, &link.name, has_ipv6, dad))?;
    wishes.apply(sandbox)?;
    Ok(has_ipv6)
}

/// A route to each gateway, and a route through it to the rest of the address' subnet.
fn gateway_routes(ips: &[&IpConfig]) -> Vec<RouteSpec> {
    let mut routes: Vec<RouteSpec> = Vec::new();
    for ip in ips {
        let (address, Some(gateway)) = (ip.address, ip.gateway) else {
            continue;
        };
        let src = Some(address.ip());
        let to_gateway = RouteSpec {
            src,
            scope: Some(SCOPE_LINK),
            ..RouteSpec::to(gateway, Family::of(gateway).host_prefix())
        };
        let to_subnet = RouteSpec {
            src,
            gw: Some(gateway),
            ..RouteSpec::to(address.network(), address.prefix())
        };
        let is_alone = address.prefix() == Family::of(gateway).host_prefix();
        let wanted = [Some(to_gateway), (!is_alone).then_some(to_subnet)];
        // Two addresses of one subnet share its routes; the first address is the source.
        for route in wanted.into_iter().flatten() {
            if !routes.iter().any(|known| known.dst == route.dst) {
                routes.push(route);
            }
        }
    }
    routes
}

/// Returns whether `route` and `there` are equal, ignoring fields that `route` leaves unset.
fn is_same(there: &RouteSpec, route: &RouteSpec) -> bool {
    let told = RouteSpec {
        src: there.src,
        scope: route.scope.or(there.scope),
        ..*route
    };
    told == *there
}

/// Returns whether the next hop is in a subnet of the container and is not the gateway. Such a route needs `onlink`:
/// the kernel would resolve the hop by the route to the subnet, which leads to the gateway.
fn is_neighbour(hop: Option<IpAddr>, ips: &[&IpConfig]) -> bool {
    let is_among = |hop: IpAddr| ips.iter().any(|ip| ip.address.contains(hop));
    hop.is_some_and(|hop| is_among(hop) && !ips.iter().any(|ip| ip.gateway == Some(hop)))
}

/// The addresses of the interface. Addresses without an interface index are skipped.
fn addresses_of<'a>(result: &'a AddResult, ifname: &str) -> Result<Vec<&'a IpConfig>> {
    let mut own = Vec::new();
    for ip in &result.ips {
        let Some(index) = ip.interface else { continue };
        let interface = usize::try_from(index)
            .ok()
            .and_then(|index| result.interfaces.get(index));
        if interface.is_none_or(|interface| interface.name != ifname) {
            return Err(Failure::new(
                ErrorCode::INTERNAL,
                format!(
                    "failed to add IP addr {} to {ifname:?}: invalid interface index {index}",
                    ip.address
                ),
            ));
        }
        own.push(ip);
    }
    Ok(own)
}

/// Runs while the link is down: the kernel reads most of these sysctls when the link comes up.
fn prepare(sysctls: &Sysctls, ifname: &str, has_ipv6: bool, dad: bool) -> Result<()> {
    let key_v6 = |key| of_interface("ipv6", ifname, key);
    if has_ipv6 {
        for name in ["lo", ifname] {
            sysctls.set_if_known(&of_interface("ipv6", name, "disable_ipv6"), "0")?;
        }
        sysctls.set(&key_v6("keep_addr_on_down"), "1")?;
        // Without addresses of IPAM, only the link-local one would be announced, to every port of a bridge.
        sysctls.put_if_known(&key_v6("ndisc_notify"), "1")?;
    }
    if dad {
        sysctls.put_if_known(&key_v6("enhanced_dad"), "1")?;
    }
    sysctls.put_if_known(&key_v6("accept_ra"), "0")?;
    sysctls.put_if_known(&key_v6("accept_dad"), if dad { "1" } else { "0" })?;
    sysctls.put_if_known(&of_interface("ipv4", ifname, "arp_notify"), "1")
}

fn wait_for_dad(sandbox: &Side, link: &Link) -> Result<()> {
    let settled = sandbox
        .watch()?
        .until(DAD_DEADLINE, || {
            let addrs = link.addrs(Some(Family::V6))?;
            if let Some(failed) = addrs.iter().find(|addr| addr.dad_failed) {
                return Ok(Some(Err(failed.ip)));
            }
            Ok((!addrs.iter().any(|addr| addr.tentative)).then_some(Ok(())))
        })
        .map_err(kernel)?;
    let refuse = |msg: String| Err(Failure::new(ErrorCode::INTERNAL, msg));
    match settled {
        Some(Ok(())) => Ok(()),
        Some(Err(ip)) => refuse(format!(
            "{} has address {ip} in DADFAILED state: another station on the link has it",
            link.name
        )),
        // The address stays tentative until the link has a carrier. The kernel then continues by itself.
        None if is_without_carrier(sandbox, link)? => Ok(()),
        None => refuse(format!(
            "{} still has tentative addresses after {} s",
            link.name,
            DAD_DEADLINE.as_secs()
        )),
    }
}

fn is_without_carrier(sandbox: &Side, link: &Link) -> Result<bool> {
    let now = sandbox.rtnl.link_by_index(link.index).map_err(kernel)?;
    Ok(now.is_some_and(|now| !now.oper_up))
}

/// The routes as the kernel takes them. A route without a next hop gets the first gateway of its family. Duplicates,
/// such as an IPAM's default route and the bridge's, are merged.
fn routes_of(result: &AddResult, ips: &[&IpConfig]) -> Result<Vec<RouteSpec>> {
    let mut routes = Vec::new();
    for route in &result.routes {
        let family = Family::of(route.dst.ip());
        let gateway = || {
            let gateways = ips.iter().filter_map(|ip| ip.gateway);
            gateways.into_iter().find(|gw| Family::of(*gw) == family)
        };
        let mut spec = spec_of(route)?;
        // A destination on the link itself has no next hop.
        let on_link = spec.scope.is_some_and(|scope| scope >= SCOPE_LINK);
        spec.gw = route.gw.or_else(|| gateway().filter(|_| !on_link));
        if !routes.contains(&spec) {
            routes.push(spec);
        }
    }
    Ok(routes)
}

/// The route with its numbers in the kernel's widths. A negative number means unset, as in the reference.
pub fn spec_of(route: &Route) -> Result<RouteSpec> {
    let dst = route.dst;
    let refuse = |key, value| {
        let text = format!("route to {dst}: {key} {value} is too large");
        Failure::config(text).hint("correct the route in the configuration")
    };
    let number = |key, value: i64| u32::try_from(value.max(0)).map_err(|_large| refuse(key, value));
    let scope = route.scope.map(|scope| {
        let known = u8::try_from(scope.max(0));
        known.map_err(|_large| refuse("scope", scope))
    });
    Ok(RouteSpec {
        priority: number("priority", route.priority)?,
        table: Some(number("table", route.table.unwrap_or(0))?).filter(|table| *table > 0),
        scope: scope.transpose()?,
        mtu: number("mtu", route.mtu)?,
        advmss: number("advmss", route.advmss)?,
        ..RouteSpec::to(dst.network(), dst.prefix())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::addr::Cidr;
    use linkspan_protocol::result::Interface;

    fn result() -> AddResult {
        let default = Cidr::parse("0.0.0.0/0").unwrap();
        let gateway = Some([10, 0, 0, 1].into());
        AddResult {
            interfaces: vec![Interface {
                name: "eth0".into(),
                ..Interface::default()
            }],
            ips: vec![IpConfig {
                interface: Some(0),
                address: Cidr::parse("10.0.0.2/24").unwrap(),
                gateway,
            }],
            routes: vec![Route::via(default, None), Route::via(default, gateway)],
            ..AddResult::default()
        }
    }

    #[test]
    fn a_default_route_given_twice_is_one_through_the_gateway() {
        let result = result();
        let ips = addresses_of(&result, "eth0").unwrap();
        let routes = routes_of(&result, &ips).unwrap();
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].gw, Some([10, 0, 0, 1].into()));
    }

    #[test]
    fn a_negative_number_of_a_route_is_not_set_and_one_that_is_too_large_is_named() {
        let route = result().routes.remove(0);
        let low = Route {
            mtu: -1,
            priority: -1,
            table: Some(-1),
            ..route.clone()
        };
        assert_eq!(spec_of(&low).unwrap(), spec_of(&route).unwrap());
        let high = [
            Route {
                priority: 1 << 32,
                ..route.clone()
            },
            Route {
                scope: Some(256),
                ..route
            },
        ];
        let told = high.map(|route| spec_of(&route).unwrap_err().message());
        let start = "route to 0.0.0.0/0:";
        let expected = ["priority 4294967296", "scope 256"];
        assert_eq!(
            told,
            expected.map(|what| format!("{start} {what} is too large"))
        );
    }

    #[test]
    fn beyond_a_point_to_point_link_everything_is_behind_the_gateway() {
        let mut result = result();
        let mut second = result.ips[0].clone();
        second.address = Cidr::parse("10.0.0.3/24").unwrap();
        let alone = IpConfig {
            address: Cidr::parse("fd00::2/128").unwrap(),
            gateway: Some("fd00::1".parse().unwrap()),
            ..second.clone()
        };
        result.ips.extend([second, alone]);
        let ips: Vec<_> = result.ips.iter().collect();
        let routes = gateway_routes(&ips);
        let told: Vec<_> = routes
            .iter()
            .map(|r| (r.dst.0.to_string(), r.dst.1, r.gw.is_some()))
            .collect();
        let expected = [
            ("10.0.0.1", 32, false),
            ("10.0.0.0", 24, true),
            ("fd00::1", 128, false),
        ];
        assert_eq!(
            told,
            expected.map(|(ip, prefix, via)| (ip.to_owned(), prefix, via))
        );
    }

    #[test]
    fn an_address_of_another_interface_is_refused_and_one_of_none_is_skipped() {
        let mut result = result();
        assert!(addresses_of(&result, "eth1").is_err());
        result.ips[0].interface = Some(7);
        assert!(addresses_of(&result, "eth0").is_err());
        result.ips[0].interface = None;
        assert!(addresses_of(&result, "eth0").unwrap().is_empty());
    }
}
