//! CHECK of the default routes of the final result. Plugins cannot check them: a plugin must allow for changes by
//! later ones of the list, and so compares no gateway of a default route.

use std::net::IpAddr;
use std::path::Path;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, Route};
use linkspan_protocol::wire;
use serde_json::Value;

use crate::attachment::Attachment;
use crate::chain::reparse;
use crate::{Result, kernel};

/// Checks that each default route of the result is in the namespace.
pub fn check(at: &Attachment, result: &Value) -> Result<()> {
    let (result, _) = wire::decode(&reparse(result)?, "")?;
    let defaults = result.routes.iter().filter(|route| route.dst.is_default());
    let promised: Vec<Vec<IpAddr>> = defaults
        .map(|route| candidates(&result, route))
        .filter(|candidates| !candidates.is_empty())
        .collect();
    if promised.is_empty() {
        return Ok(());
    }
    let netns = Netns::open(Path::new(&at.netns))
        .map_err(|err| Failure::new(ErrorCode::INVALID_NETNS, err.to_string()))?;
    let rtnl = Rtnl::open(&netns);
    let rtnl = rtnl.map_err(kernel)?;
    for gateways in promised {
        let family = gateways.first().copied().map_or(Family::V4, Family::of);
        let present = rtnl.gateways(family).map_err(kernel)?;
        if !gateways.iter().any(|gateway| present.contains(gateway)) {
            return Err(mismatch(at, &gateways, &present));
        }
    }
    Ok(())
}

/// The gateways that the route may have. A route without one uses the gateway of an address.
fn candidates(result: &AddResult, route: &Route) -> Vec<IpAddr> {
    if let Some(gateway) = route.gw {
        return vec![gateway];
    }
    let of_family = |gateway: &IpAddr| Family::of(*gateway) == Family::of(route.dst.ip());
    let gateways = result.ips.iter().filter_map(|ip| ip.gateway);
    gateways.filter(of_family).collect()
}

fn mismatch(at: &Attachment, expected: &[IpAddr], found: &[IpAddr]) -> Failure {
    let told = |gateways: &[IpAddr]| {
        let list: Vec<String> = gateways.iter().map(|ip| format!("via {ip}")).collect();
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(" or ")
        }
    };
    Failure::new(
        ErrorCode::INTERNAL,
        format!(
            "default route in {}: expected {}, found {}",
            at.netns,
            told(expected),
            told(found)
        ),
    )
    .hint(match expected {
        [gateway] => {
            let (netns, family) = (&at.netns, if gateway.is_ipv6() { "-6 " } else { "" });
            format!("run nsenter --net={netns} ip {family}route add default via {gateway}")
        }
        _ => "attach the container anew".to_owned(),
    })
}
