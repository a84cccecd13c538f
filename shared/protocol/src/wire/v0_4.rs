//! Versions 0.3.0, 0.3.1 and 0.4.0: interfaces, and addresses that name their family.

use std::net::IpAddr;

use serde::Serialize;

use super::parts::{WireDns, WireRoute};
use crate::addr::Cidr;
use crate::json::{Error, Json, pretty};
use crate::result::{AddResult, Interface, IpConfig};
use crate::version::SpecVersion;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    cni_version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<OutInterface<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<OutIp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<WireRoute>,
    dns: WireDns,
}

#[derive(Serialize)]
struct OutInterface<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
}

impl<'a> From<&'a Interface> for OutInterface<'a> {
    fn from(interface: &'a Interface) -> Self {
        Self {
            name: &interface.name,
            mac: &interface.mac,
            sandbox: &interface.sandbox,
        }
    }
}

#[derive(Serialize)]
struct OutIp {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<i64>,
    address: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

impl From<&IpConfig> for OutIp {
    fn from(ip: &IpConfig) -> Self {
        Self {
            version: if ip.address.ip().is_ipv4() { "4" } else { "6" },
            interface: ip.interface,
            address: ip.address,
            gateway: ip.gateway,
        }
    }
}

pub(super) fn encode(result: &AddResult, version: SpecVersion) -> String {
    pretty(&Out {
        cni_version: version.as_str(),
        interfaces: result.interfaces.iter().map(Into::into).collect(),
        ips: result.ips.iter().map(Into::into).collect(),
        routes: result.routes.iter().map(Into::into).collect(),
        dns: (&result.dns).into(),
    })
}

/// The newer shape is a superset: `ips[].version` is redundant and ignored there, too.
pub(super) fn decode(json: &Json) -> Result<AddResult, Error> {
    super::v1::decode(json).map(express)
}

/// The part that these versions can express: interfaces without properties that were added later.
pub(super) fn express(mut result: AddResult) -> AddResult {
    for interface in &mut result.interfaces {
        interface.mtu = 0;
        interface.socket_path.clear();
        interface.pci_id.clear();
    }
    result
}
