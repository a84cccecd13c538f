//! The ports that are published on this host, for people.

use std::net::IpAddr;

use linkspan_attach::kernel;
use linkspan_attach::owner::{Home, Owner};
use linkspan_attach::table::{self, TABLE};
use linkspan_plugin::Result;

use crate::elements;
use crate::mapping::Protocol;
use crate::sets::PUBLISHED;

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Protocol.
    pub protocol: Protocol,
    /// The host's address; absent for all of the family.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub container_ip: IpAddr,
    /// The container's port.
    pub container_port: u16,
    /// Who owns it; absent where the element is none of ours.
    pub owner: Option<Owner>,
    /// Whether the owner's namespace is certainly gone.
    pub gone: bool,
}

/// What is published through our own table, in the order of host ports.
pub fn published() -> Result<Vec<Published>> {
    let mut list = Vec::new();
    let Some(netfilter) = table::open()? else {
        return Ok(list);
    };
    for (set, by_addr, six) in PUBLISHED {
        for element in netfilter.elements(TABLE, set).map_err(kernel)? {
            let Some((mapping, container_ip)) = elements::read(&element, by_addr, six) else {
                continue;
            };
            list.push(Published {
                protocol: mapping.protocol,
                host_ip: mapping.host_ip.one(),
                host_port: mapping.host_port,
                container_ip,
                container_port: mapping.container_port,
                owner: table::owner(&element),
                gone: Home::parse(&element.record).is_some_and(|home| home.is_gone()),
            });
        }
    }
    list.sort_by_key(|port| {
        (
            port.host_port,
            port.protocol,
            port.container_ip,
            port.host_ip,
        )
    });
    Ok(list)
}
