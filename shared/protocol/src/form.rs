//! The forms in JSON that configurations and results share.

use std::net::IpAddr;

use serde::Deserialize;

use crate::addr::{Cidr, optional_ip};
use crate::result::{Dns, Route};

/// The `dns` key: a list that is present but empty differs from an absent one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DnsConf {
    /// Servers.
    pub nameservers: Option<Vec<String>>,
    /// Local domain.
    pub domain: String,
    /// Search domains.
    pub search: Option<Vec<String>>,
    /// Resolver options.
    pub options: Option<Vec<String>>,
}

impl DnsConf {
    /// Whether the configuration has any key of name resolution; an empty list counts.
    pub fn is_present(&self) -> bool {
        let lists = [&self.nameservers, &self.search, &self.options];
        !self.domain.is_empty() || lists.into_iter().any(Option::is_some)
    }

    /// The form of a result.
    pub fn into_dns(self) -> Dns {
        Dns {
            nameservers: self.nameservers.unwrap_or_default(),
            domain: self.domain,
            search: self.search.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
        }
    }
}

/// A route in a configuration or a result; `dst` is required.
#[derive(Debug, Clone, Deserialize)]
pub struct RouteConf {
    /// The destination; required.
    dst: Cidr,
    /// The next hop. Default: the first gateway of its family
    #[serde(default, deserialize_with = "optional_ip")]
    gw: Option<IpAddr>,
    /// The MTU along the route, in bytes.
    #[serde(default)]
    mtu: i64,
    /// The largest segment that TCP announces, in bytes.
    #[serde(default)]
    advmss: i64,
    /// The metric.
    #[serde(default)]
    priority: i64,
    /// The routing table. Default: the main table
    #[serde(default)]
    table: Option<i64>,
    /// The scope: 0 is global, 253 link, 254 host.
    #[serde(default)]
    scope: Option<i64>,
}

impl RouteConf {
    /// The form of a result.
    pub fn into_route(self) -> Route {
        Route {
            dst: self.dst,
            gw: self.gw,
            mtu: self.mtu,
            advmss: self.advmss,
            priority: self.priority,
            table: self.table,
            scope: self.scope,
        }
    }
}
