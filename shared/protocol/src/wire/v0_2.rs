//! Versions 0.1.0 and 0.2.0: one address per family, no interfaces.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::parts::{WireDns, WireRoute};
use crate::addr::{Cidr, optional_ip};
use crate::error::{ErrorCode, Failure};
use crate::form::{DnsConf, RouteConf};
use crate::json::{Error, Json, pretty};
use crate::result::{AddResult, IpConfig, Route};
use crate::version::SpecVersion;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out {
    cni_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<OutIp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<OutIp>,
    dns: WireDns,
}

#[derive(Serialize)]
struct OutIp {
    ip: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<WireRoute>,
}

pub(super) fn encode(result: &AddResult, version: SpecVersion) -> Result<String, Failure> {
    if result.ips.is_empty() {
        return Err(
            Failure::new(ErrorCode::INTERNAL, "cannot convert: no valid IP addresses")
                .hint("use cniVersion 0.3.0 or newer for a network without IPAM"),
        );
    }
    Ok(reprint(result, version))
}

/// Prints a result that came in one of these versions; it may have no addresses.
pub(super) fn reprint(result: &AddResult, version: SpecVersion) -> String {
    let told = express(result);
    pretty(&Out {
        cni_version: version.as_str(),
        ip4: family(&told, IpAddr::is_ipv4),
        ip6: family(&told, IpAddr::is_ipv6),
        dns: (&told.dns).into(),
    })
}

/// The part that these versions can express: the first address of each family, without its interface, and the plain
/// routes of the families that have one.
pub(super) fn express(result: &AddResult) -> AddResult {
    let mut told = AddResult {
        dns: result.dns.clone(),
        ..AddResult::default()
    };
    for is_member in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let mut ips = result.ips.iter().filter(|ip| is_member(&ip.address.ip()));
        let Some(first) = ips.next() else { continue };
        told.ips.push(IpConfig {
            interface: None,
            ..first.clone()
        });
        let routes = result.routes.iter();
        let routes = routes.filter(|route| is_member(&route.dst.ip()));
        told.routes
            .extend(routes.map(|route| Route::via(route.dst, route.gw)));
    }
    told
}

fn family(told: &AddResult, is_member: fn(&IpAddr) -> bool) -> Option<OutIp> {
    let ip = told.ips.iter().find(|ip| is_member(&ip.address.ip()))?;
    let routes = told.routes.iter();
    let routes = routes.filter(|route| is_member(&route.dst.ip()));
    Some(OutIp {
        ip: ip.address,
        gateway: ip.gateway,
        routes: routes.map(WireRoute::from).collect(),
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct In {
    ip4: Option<InIp>,
    ip6: Option<InIp>,
    dns: DnsConf,
}

#[derive(Deserialize)]
struct InIp {
    ip: Cidr,
    #[serde(default, deserialize_with = "optional_ip")]
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<RouteConf>,
}

pub(super) fn decode(json: &Json) -> Result<AddResult, Error> {
    let decoded: In = json.decode()?;
    let mut result = AddResult {
        dns: decoded.dns.into_dns(),
        ..AddResult::default()
    };
    for family in [decoded.ip4, decoded.ip6].into_iter().flatten() {
        result.ips.push(IpConfig {
            interface: None,
            address: family.ip,
            gateway: family.gateway,
        });
        let routes = family.routes.into_iter().map(RouteConf::into_route);
        result.routes.extend(routes);
    }
    Ok(result)
}
