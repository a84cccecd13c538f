//! Flows of UDP that outlive their mapping: tracking remembers where each went, so that a client which keeps its port
//! would go on talking to whoever had the host's port before.

use std::net::{IpAddr, SocketAddr};

use linkspan_attach::{kernel, table};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Netfilter;
use linkspan_nftables::conntrack::Flow;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;

use crate::mapping::{Mapping, Protocol};

/// After publishing: forgets the flows to this port of the host that go elsewhere than to the container.
pub(crate) fn forget_others(rtnl: &Rtnl, mappings: &[Mapping], addresses: &[Cidr]) -> Result<()> {
    if !mappings.iter().any(|m| m.protocol == Protocol::Udp) {
        return Ok(());
    }
    let netfilter = Netfilter::open().map_err(kernel)?;
    for mapping in mappings {
        for ip in addresses.iter().map(|address| address.ip()) {
            let container = SocketAddr::new(ip, mapping.container_port);
            for flow in flows(&netfilter, mapping, ip)? {
                if flow.answered_by != container && is_ours(rtnl, mapping, &flow)? {
                    netfilter.forget(&flow).map_err(kernel)?;
                }
            }
        }
    }
    Ok(())
}

/// After withdrawing: forgets the flows to this port of the host that went to the container.
pub(crate) fn forget_own(netfilter: &Netfilter, mapping: &Mapping, ip: IpAddr) -> Result<()> {
    let container = SocketAddr::new(ip, mapping.container_port);
    for flow in flows(netfilter, mapping, ip)? {
        if flow.answered_by == container {
            netfilter.forget(&flow).map_err(kernel)?;
        }
    }
    Ok(())
}

fn flows(netfilter: &Netfilter, mapping: &Mapping, ip: IpAddr) -> Result<Vec<Flow>> {
    let six = ip.is_ipv6();
    if mapping.protocol != Protocol::Udp || !mapping.host_ip.concerns(six) {
        return Ok(Vec::new());
    }
    let number = mapping.protocol.number();
    match netfilter.flows_to(six, number, mapping.host_port) {
        // A kernel without this part of netfilter cannot be asked to forget.
        Err(err) if table::is_absent(&err) => Ok(Vec::new()),
        found => found.map_err(kernel),
    }
}

/// Whether the mapping is about the flow: it went to the mapping's address, or else to any of this host.
fn is_ours(rtnl: &Rtnl, mapping: &Mapping, flow: &Flow) -> Result<bool> {
    let destination = flow.destination.ip();
    if let Some(ip) = mapping.host_ip.one() {
        return Ok(destination == ip);
    }
    let way = rtnl.way_to(destination).map_err(kernel)?;
    Ok(way.is_some_and(|way| way.local))
}
