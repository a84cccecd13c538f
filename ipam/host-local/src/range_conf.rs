//! The keys of one range of addresses.

use std::net::IpAddr;

use linkspan_protocol::addr::{Cidr, optional_cidr, optional_ip, parse_ip};
use linkspan_protocol::family::Family;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RangeConf {
    /// The network; required.
    #[serde(deserialize_with = "optional_cidr")]
    pub(crate) subnet: Option<Cidr>,
    /// The first address that is given. Default: the network's first
    #[serde(deserialize_with = "optional_ip")]
    pub(crate) range_start: Option<IpAddr>,
    /// The last address that is given. Default: the network's last
    #[serde(deserialize_with = "optional_ip")]
    pub(crate) range_end: Option<IpAddr>,
    /// The gateway, which is never given. Default: the network's first
    #[serde(deserialize_with = "optional_ip")]
    pub(crate) gateway: Option<IpAddr>,
    /// Addresses and networks that are never given.
    #[serde(deserialize_with = "networks")]
    pub(crate) exclude: Vec<Cidr>,
}

/// Addresses and networks; an address is a network of one.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cidr>, D::Error> {
    let network = |text: String| {
        if text.contains('/') {
            return Cidr::parse(&text);
        }
        let ip = parse_ip(&text)?;
        Cidr::new(ip, Family::of(ip).host_prefix())
            .ok_or_else(|| format!("invalid IP address: {text}"))
    };
    let texts = Vec::<String>::deserialize(deserializer)?.into_iter();
    texts
        .map(|text| network(text).map_err(D::Error::custom))
        .collect()
}
