//! Versions 1.0.0 and 1.1.0: keys in byte-wise order at every level, `dns` only where there is any.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::parts::is_zero;
use crate::addr::{Cidr, optional_ip};
use crate::form::{DnsConf, RouteConf};
use crate::json::{Error, Json, pretty};
use crate::result::{AddResult, Dns, Interface, IpConfig, Route};
use crate::version::SpecVersion;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    cni_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<OutDns<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<OutInterface<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<OutIp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<OutRoute>,
}

#[derive(Serialize)]
struct OutDns<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    nameservers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    search: &'a [String],
}

impl<'a> From<&'a Dns> for OutDns<'a> {
    fn from(dns: &'a Dns) -> Self {
        Self {
            domain: &dns.domain,
            nameservers: &dns.nameservers,
            options: &dns.options,
            search: &dns.search,
        }
    }
}

#[derive(Serialize)]
struct OutInterface<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: i64,
    name: &'a str,
    #[serde(rename = "pciID", skip_serializing_if = "str::is_empty")]
    pci_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
    #[serde(rename = "socketPath", skip_serializing_if = "str::is_empty")]
    socket_path: &'a str,
}

impl<'a> From<&'a Interface> for OutInterface<'a> {
    fn from(interface: &'a Interface) -> Self {
        Self {
            mac: &interface.mac,
            mtu: interface.mtu,
            name: &interface.name,
            pci_id: &interface.pci_id,
            sandbox: &interface.sandbox,
            socket_path: &interface.socket_path,
        }
    }
}

#[derive(Serialize)]
struct OutIp {
    address: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<i64>,
}

impl From<&IpConfig> for OutIp {
    fn from(ip: &IpConfig) -> Self {
        Self {
            address: ip.address,
            gateway: ip.gateway,
            interface: ip.interface,
        }
    }
}

#[derive(Serialize)]
struct OutRoute {
    #[serde(skip_serializing_if = "is_zero")]
    advmss: i64,
    dst: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gw: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: i64,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<i64>,
}

impl From<&Route> for OutRoute {
    fn from(route: &Route) -> Self {
        Self {
            advmss: route.advmss,
            dst: route.dst,
            gw: route.gw,
            mtu: route.mtu,
            priority: route.priority,
            scope: route.scope,
            table: route.table,
        }
    }
}

pub(super) fn encode(result: &AddResult, version: SpecVersion) -> String {
    pretty(&Out {
        cni_version: version.as_str(),
        dns: (!result.dns.is_empty()).then(|| (&result.dns).into()),
        interfaces: result.interfaces.iter().map(Into::into).collect(),
        ips: result.ips.iter().map(Into::into).collect(),
        routes: result.routes.iter().map(Into::into).collect(),
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct In {
    interfaces: Vec<InInterface>,
    ips: Vec<InIp>,
    routes: Vec<RouteConf>,
    dns: DnsConf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InInterface {
    name: String,
    mac: String,
    mtu: i64,
    sandbox: String,
    #[serde(rename = "socketPath")]
    socket_path: String,
    #[serde(rename = "pciID")]
    pci_id: String,
}

#[derive(Deserialize)]
struct InIp {
    #[serde(default)]
    interface: Option<i64>,
    address: Cidr,
    #[serde(default, deserialize_with = "optional_ip")]
    gateway: Option<IpAddr>,
}

pub(super) fn decode(json: &Json) -> Result<AddResult, Error> {
    let decoded: In = json.decode()?;
    let interface = |link: InInterface| Interface {
        name: link.name,
        mac: link.mac,
        mtu: link.mtu,
        sandbox: link.sandbox,
        socket_path: link.socket_path,
        pci_id: link.pci_id,
    };
    let ip = |ip: InIp| IpConfig {
        interface: ip.interface,
        address: ip.address,
        gateway: ip.gateway,
    };
    Ok(AddResult {
        interfaces: decoded.interfaces.into_iter().map(interface).collect(),
        ips: decoded.ips.into_iter().map(ip).collect(),
        routes: decoded
            .routes
            .into_iter()
            .map(RouteConf::into_route)
            .collect(),
        dns: decoded.dns.into_dns(),
    })
}
