//! The ports that are published on this host, for people.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use linkspan_attach::{Side, kernel};
use linkspan_filter::table::{self, TABLE};
use linkspan_nftables::Netfilter;
use linkspan_owner::Owner;
use linkspan_owner::life::Life;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::foreign::{self, Foreign, Keeper};
use crate::lives::Lives;
use crate::mapping::{HostIp, Mapping, Protocol};
use crate::sets::PUBLISHED;
use crate::{elements, room};

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The filter that holds it.
    pub keeper: Keeper,
    /// Protocol.
    pub protocol: Protocol,
    /// The host's address and port; the unspecified address for all of the family.
    pub host: SocketAddr,
    /// The container's address and port.
    pub container: SocketAddr,
    /// Network, container and interface of the owner, as far as they are known.
    pub owner: [Option<String>; 3],
    /// Whether the owner is certainly gone; absent where that cannot be known.
    pub gone: Option<bool>,
}

/// The ports of this suite and of others, in the order of host ports.
pub fn published() -> Result<Vec<Published>> {
    let netfilter = table::open()?;
    let mut list = match &netfilter {
        Some(netfilter) => ours(netfilter)?,
        None => Vec::new(),
    };
    list.extend(foreign(netfilter.as_ref())?);
    list.sort_by_key(|port| {
        (
            port.host.port(),
            port.protocol,
            port.container.ip(),
            port.host.ip(),
            port.keeper,
        )
    });
    Ok(list)
}

/// The ports in our own table.
fn ours(netfilter: &Netfilter) -> Result<Vec<Published>> {
    let mut list = Vec::new();
    let lives = Lives::now();
    for map in PUBLISHED {
        for element in netfilter.elements(TABLE, map.set).map_err(kernel)? {
            let Some((mapping, container_ip)) = elements::read(&element, map.by_addr, map.family)
            else {
                continue;
            };
            let parts = |owner: Owner| {
                [owner.network(), owner.container(), owner.ifname()]
                    .map(|part| Some(part.to_owned()))
            };
            let gone = match lives.of(&element) {
                Life::Alive => Some(false),
                Life::Gone => Some(true),
                Life::Unknown => None,
            };
            list.push(Published {
                owner: table::owner(&element).map(parts).unwrap_or_default(),
                gone,
                ..Published::of(Keeper::Nftables, &mapping, container_ip)
            });
        }
    }
    Ok(list)
}

/// The ports of others. Their rules name no namespace, so only a missing route proves that an owner is gone.
fn foreign(netfilter: Option<&Netfilter>) -> Result<Vec<Published>> {
    let mut found: Vec<Foreign> = Vec::new();
    for family in Family::BOTH {
        found.extend(foreign::read(netfilter, family, &|_any| true)?);
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ips: BTreeSet<IpAddr> = found.iter().map(|port| port.container_ip).collect();
    let gone = room::unreachable(&Side::host()?.rtnl, &ips)?;
    let told = |port: Foreign| Published {
        gone: gone.contains(&port.container_ip).then_some(true),
        owner: [port.network, port.container, None],
        ..Published::of(port.keeper, &port.mapping, port.container_ip)
    };
    Ok(found.into_iter().map(told).collect())
}

impl Published {
    fn of(keeper: Keeper, mapping: &Mapping, container_ip: IpAddr) -> Self {
        let any = match container_ip {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let host_ip = match mapping.host_ip {
            HostIp::One(ip) => ip,
            HostIp::Any | HostIp::AnyOf(_) => any,
        };
        Self {
            keeper,
            protocol: mapping.protocol,
            host: SocketAddr::new(host_ip, mapping.host_port),
            container: SocketAddr::new(container_ip, mapping.container_port),
            owner: [None, None, None],
            gone: None,
        }
    }
}
