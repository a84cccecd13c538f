//! The configuration, and the answer made of it.

use std::collections::HashSet;
use std::net::IpAddr;

use linkspan_plugin::Result;
use linkspan_plugin::call::Call;
use linkspan_protocol::addr::{optional_ip, parse_ip};
use linkspan_protocol::args;
use linkspan_protocol::conf::{DnsConf, RouteConf};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{Dns, IpConfig, Route};
use linkspan_protocol::version::SpecVersion;
use serde::Deserialize;

use crate::address::{Prefixes, quoted};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The addresses, routes and name resolution to give.
    ipam: Option<IpamConf>,
    /// The capability `ips`, which the runtime fills in.
    runtime_config: Addresses,
    /// The requests of the orchestrator.
    args: ArgsConf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IpamConf {
    /// The addresses.
    addresses: Vec<AddressConf>,
    /// Routes of the container.
    routes: Vec<RouteConf>,
    /// Name resolution of the container.
    dns: DnsConf,
    /// The default prefix length for IPv4 addresses. Without it, an address without a prefix is refused.
    default_prefix: Option<u8>,
    /// The default prefix length for IPv6 addresses. Without it, an address without a prefix is refused.
    default_prefix6: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AddressConf {
    /// The address with its prefix length, such as `10.1.0.5/16`.
    address: String,
    /// The gateway of the address's network.
    #[serde(deserialize_with = "optional_ip")]
    gateway: Option<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgsConf {
    /// Takes precedence over `ipam.addresses` and `CNI_ARGS`; `runtimeConfig` takes precedence over it.
    cni: Addresses,
}

/// Addresses that the caller names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Addresses {
    /// The addresses, instead of those in `ipam.addresses`.
    ips: Vec<String>,
}

/// The answer of ADD.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) ips: Vec<IpConfig>,
    pub(crate) routes: Vec<Route>,
    pub(crate) dns: Dns,
}

impl Plan {
    pub(crate) fn new(call: &Call, conf: Conf) -> Result<Self> {
        let ipam = conf
            .ipam
            .ok_or_else(|| Failure::config("IPAM config missing 'ipam' key"))?;
        let prefixes = Prefixes::new(ipam.default_prefix, ipam.default_prefix6)?;
        let configured = of_configuration(&ipam.addresses, prefixes)?;
        let mut ips = configured.clone();
        ips.extend(of_arguments(&call.args, prefixes)?);
        // Of the two, the runtime's replace the others.
        for named in [conf.args.cni.ips, conf.runtime_config.ips] {
            if !named.is_empty() {
                ips = of_caller(&named, prefixes, &configured)?;
            }
        }
        let ips = without_repeats(ips);
        if call.version < SpecVersion::V0_3_0 {
            one_of_each_family(&ips, call.version)?;
        }
        Ok(Self {
            ips,
            routes: ipam.routes.into_iter().map(RouteConf::into_route).collect(),
            dns: ipam.dns.into_dns(),
        })
    }
}

fn of_configuration(addresses: &[AddressConf], prefixes: Prefixes) -> Result<Vec<IpConfig>> {
    let one = |conf: &AddressConf| {
        let says = "the 'address' field is expected to be in CIDR notation";
        let address = prefixes
            .read(&conf.address)
            .map_err(|got| got.config(says))?;
        Ok(IpConfig {
            interface: None,
            address,
            gateway: conf.gateway,
        })
    };
    addresses.iter().map(one).collect()
}

/// The addresses that the caller names. One that the configuration has, too, keeps its gateway.
fn of_caller(
    named: &[String],
    prefixes: Prefixes,
    configured: &[IpConfig],
) -> Result<Vec<IpConfig>> {
    let one = |text: &String| {
        let says = "an entry in the 'ips' field is NOT in CIDR notation";
        let address = prefixes.read(text).map_err(|got| got.config(says))?;
        let known = configured.iter().find(|known| known.address == address);
        Ok(IpConfig {
            interface: None,
            address,
            gateway: known.and_then(|known| known.gateway),
        })
    };
    named.iter().map(one).collect()
}

/// The addresses of `IP` in `CNI_ARGS`, each with the gateway of `GATEWAY` that is in its subnet.
fn of_arguments(text: &str, prefixes: Prefixes) -> Result<Vec<IpConfig>> {
    let (mut ips, mut gateways) = (Vec::new(), Vec::new());
    for (key, value) in args::parse(text, &["IP", "GATEWAY"])? {
        for item in value.split(',').map(str::trim) {
            if key == "IP" {
                let says = "the 'ip' field is expected to be in CIDR notation";
                let address = prefixes.read(item).map_err(|got| got.argument(says))?;
                ips.push(IpConfig {
                    interface: None,
                    address,
                    gateway: None,
                });
            } else {
                gateways.push(gateway(item)?);
            }
        }
    }
    for ip in &mut ips {
        let mut within = gateways.iter().copied().rev();
        ip.gateway = within.find(|gateway| ip.address.contains(*gateway));
    }
    Ok(ips)
}

fn gateway(item: &str) -> Result<IpAddr> {
    parse_ip(item).map_err(|_quotes_it| {
        let text = format!("invalid gateway address: {}", quoted(item));
        Failure::new(ErrorCode::INVALID_ENVIRONMENT, text)
            .hint("GATEWAY in CNI_ARGS takes addresses without a prefix length")
    })
}

/// A repeated address counts once, because a link can have it only once.
fn without_repeats(ips: Vec<IpConfig>) -> Vec<IpConfig> {
    let mut seen = HashSet::new();
    let mut ips = ips;
    ips.retain(|ip| seen.insert(ip.address));
    ips
}

fn one_of_each_family(ips: &[IpConfig], version: SpecVersion) -> Result<()> {
    let fours = ips.iter().filter(|ip| ip.address.ip().is_ipv4()).count();
    if fours > 1 || ips.len() - fours > 1 {
        return Err(Failure::config(format!(
            "CNI version {version} does not support more than 1 address per family"
        )));
    }
    Ok(())
}
