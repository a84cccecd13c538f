//! The result of an ADD, in the newest shape. It is not serializable on purpose: only [`crate::wire`] speaks JSON.

use std::net::IpAddr;

use crate::addr::Cidr;

/// The result of an ADD (spec 1.1.0, section 5, "Success").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddResult {
    /// Interfaces that the attachment made or uses.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<IpConfig>,
    /// Routes in the sandbox.
    pub routes: Vec<Route>,
    /// Name resolution, for the runtime to apply.
    pub dns: Dns,
}

/// An interface of the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Hardware address as text; empty where there is none.
    pub mac: String,
    /// MTU in bytes; 0 = not set.
    pub mtu: i64,
    /// The namespace's path as the runtime gave it; empty for the host.
    pub sandbox: String,
    /// Path of a socket, for interfaces that are one.
    pub socket_path: String,
    /// PCI address, for interfaces that have one.
    pub pci_id: String,
}

/// An address of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpConfig {
    /// Index into `interfaces`.
    pub interface: Option<i64>,
    /// Address with prefix length.
    pub address: Cidr,
    /// Gateway of the address' subnet.
    pub gateway: Option<IpAddr>,
}

/// A route of the result. Its numbers are those of the JSON, which may be too large for the kernel: an IPAM plugin
/// passes them on to the plugin that adds the route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub dst: Cidr,
    /// Next hop.
    pub gw: Option<IpAddr>,
    /// MTU along the path in bytes; 0 = not set.
    pub mtu: i64,
    /// Maximal segment size to advertise, in bytes; 0 = not set.
    pub advmss: i64,
    /// Metric; 0 = not set.
    pub priority: i64,
    /// Routing table.
    pub table: Option<i64>,
    /// Scope as the kernel numbers it.
    pub scope: Option<i64>,
}

impl Route {
    /// A route to `dst` through `gw`.
    pub fn via(dst: Cidr, gw: Option<IpAddr>) -> Self {
        Self {
            dst,
            gw,
            mtu: 0,
            advmss: 0,
            priority: 0,
            table: None,
            scope: None,
        }
    }
}

/// Name resolution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Servers.
    pub nameservers: Vec<String>,
    /// Local domain.
    pub domain: String,
    /// Search domains.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
