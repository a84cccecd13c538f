//! The configuration, and the plan made of it. Pure; each refusal is code 7.

use std::net::IpAddr;
use std::path::PathBuf;

use linkspan_owner::memory;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::Failure;
use serde::Deserialize;

const DATA_DIR: &str = "/run/cni/host-reach";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// Addresses of the host that the container reaches without the network, beside those of the master and the one that
    /// the host uses to talk to the container's network.
    host_addresses: Vec<String>,
    /// Networks that the container reaches through the host, such as that of services; with `macvlan` alone. The host
    /// forwards packets then.
    networks: Vec<Cidr>,
    /// Where the addresses of each attachment are kept for DEL and GC. Default: `/run/cni/host-reach`
    data_dir: String,
}

/// The checked plan of a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) host_addresses: Vec<IpAddr>,
    pub(crate) networks: Vec<Cidr>,
    pub(crate) dir: PathBuf,
}

impl Plan {
    pub(crate) fn new(conf: Conf) -> Result<Self> {
        let dir = data_dir(&conf)?;
        let parsed = conf.host_addresses.iter().map(|text| address(text));
        Ok(Self {
            host_addresses: parsed.collect::<Result<_>>()?,
            networks: conf.networks,
            dir,
        })
    }
}

/// The directory of memories: the only part of the configuration that DEL and GC need.
pub(crate) fn data_dir(conf: &Conf) -> Result<PathBuf> {
    memory::directory(&conf.data_dir, DATA_DIR)
}

fn address(text: &str) -> Result<IpAddr> {
    let ip: Option<IpAddr> = text.parse().ok();
    let ip = ip.filter(|ip| !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified());
    ip.ok_or_else(|| {
        Failure::config(format!(
            "hostAddresses: {text:?} is not an address of a host"
        ))
        .hint("write each address without a prefix length, as 192.0.2.1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::error::ErrorCode;
    use linkspan_protocol::json::Json;

    fn plan(text: &str) -> Result<Plan> {
        Plan::new(Json::parse(text.as_bytes())?.decode()?)
    }

    #[test]
    fn the_empty_configuration_is_whole() {
        let plan = plan("{}").unwrap();
        assert!(plan.host_addresses.is_empty() && plan.networks.is_empty());
        assert_eq!(plan.dir, PathBuf::from(DATA_DIR));
    }

    #[test]
    fn an_impossible_value_is_refused_and_named() {
        for (keys, told) in [
            (r#"{"hostAddresses":["10.0.0.1/24"]}"#, "10.0.0.1/24"),
            (r#"{"hostAddresses":["::1"]}"#, "::1"),
            (r#"{"dataDir":"\u0000"}"#, "dataDir"),
        ] {
            let failure = plan(keys).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{keys}");
            assert!(failure.to_string().contains(told), "{failure}");
        }
    }
}
