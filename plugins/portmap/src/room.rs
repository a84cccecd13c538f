//! Ports of other suites that conflict. Those of a container that may live cause a refusal. Those of a container that
//! is certainly gone are withdrawn.
//!
//! Rules name no namespace. So one of two facts proves that a container is gone: IPAM has given its address to this
//! attachment; or the routing tables have only a default route to its address, whereas a pod behind a link of the host
//! has a route of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_attach::{Side, kernel};
use linkspan_filter::go_suite;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Netfilter;
use linkspan_nftables::port_rule::PortRule;
use linkspan_owner::Subject;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;

use crate::foreign::{self, Foreign, Keeper};
use crate::mapping::Mapping;

/// Removes dead ports that conflict with the mappings to the container's addresses. Returns the refusal where a port
/// is another container's; nothing has changed then, and the caller may try again.
///
/// It also withdraws rules of the container itself: they come before our table, and may have the address of an earlier
/// ADD.
pub(crate) fn make(
    netfilter: &Netfilter,
    subject: Subject<'_>,
    mappings: &[Mapping],
    addresses: &[Cidr],
) -> Result<Option<Failure>> {
    let mut condemned = Vec::new();
    for address in addresses {
        let ip = address.ip();
        let concerned = mappings
            .iter()
            .filter(|m| m.host_ip.concerns(Family::of(ip)));
        let wanted: Vec<&Mapping> = concerned.collect();
        if wanted.is_empty() {
            continue;
        }
        let may = |rule: &PortRule| {
            let mut wanted = wanted.iter();
            wanted.any(|m| rule.admits(m.protocol.number(), m.host_port))
        };
        for found in foreign::read(Some(netfilter), Family::of(ip), &may)? {
            let Some(mapping) = wanted.iter().find(|m| m.meets(&found.mapping)) else {
                continue;
            };
            if is_of(&found, subject) || is_gone(&found, subject, ip)? {
                condemned.push(found);
            } else if !is_elsewhere(&found, subject, mapping) {
                return Ok(Some(refusal(mapping, &found)));
            }
        }
    }
    for found in condemned {
        found.withdraw(netfilter)?;
    }
    Ok(None)
}

/// Whether it is of this container in this network. The Go suite's nft rules name the container alone.
fn is_of(found: &Foreign, subject: Subject<'_>) -> bool {
    let container = &subject.attachment.container_id;
    match found.keeper {
        Keeper::GoNftables => found.container.as_deref() == Some(container.as_str()),
        _ => found.chain == go_suite::chain(subject.network, container, "DN-"),
    }
}

/// Whether it is the same mapping of this container on another of its networks. Engines ask for a container's ports on
/// each of them, and the first one has them.
fn is_elsewhere(found: &Foreign, subject: Subject<'_>, mapping: &Mapping) -> bool {
    found.container.as_deref() == Some(subject.attachment.container_id.as_str())
        && mapping.container_port == found.mapping.container_port
}

fn is_gone(found: &Foreign, subject: Subject<'_>, ip: IpAddr) -> Result<bool> {
    let of_network = |network: &String| network == subject.network.as_str();
    let is_ours_now = found.container_ip == ip && found.network.as_ref().is_none_or(of_network);
    if is_ours_now {
        return Ok(true);
    }
    let host = Side::host()?;
    Ok(unreachable(&host.rtnl, &[found.container_ip].into())?.contains(&found.container_ip))
}

/// The addresses to which only a default route leads.
pub(crate) fn unreachable(rtnl: &Rtnl, ips: &BTreeSet<IpAddr>) -> Result<BTreeSet<IpAddr>> {
    let mut left = ips.clone();
    for family in Family::BOTH {
        if !left.iter().any(|ip| Family::of(*ip) == family) {
            continue;
        }
        for (network, prefix) in rtnl.destinations(family).map_err(kernel)? {
            let network = Cidr::new(network, prefix);
            left.retain(|ip| network.is_none_or(|network| !network.contains(*ip)));
        }
    }
    Ok(left)
}

fn refusal(wanted: &Mapping, found: &Foreign) -> Failure {
    let keeper = found.keeper.name();
    let of = |(what, name): (&str, &Option<String>)| Some(format!("{what} {}", name.as_ref()?));
    let named = [("container", &found.container), ("network", &found.network)];
    let owner: Vec<String> = named.into_iter().filter_map(of).collect();
    let owner = if owner.is_empty() {
        format!("chain {}", found.chain)
    } else {
        owner.join(", ")
    };
    Failure::new(
        ErrorCode::INTERNAL,
        format!("host port {wanted} is already published for {owner} (backend {keeper})"),
    )
    .hint(format!(
        "choose another hostPort or hostIP, or detach that container; if it is gone, `{}` frees the port",
        remedy(found)
    ))
}

/// The command that removes the rules of a container without a DEL.
fn remedy(found: &Foreign) -> String {
    let chain = &found.chain;
    let program = Family::of(found.container_ip).pick("iptables", "ip6tables");
    match (found.keeper, &found.network) {
        (Keeper::GoNftables, _) => {
            let table = found.table();
            let (family, name, handle) = (table.family.name(), table.name, found.handle);
            format!("nft delete rule {family} {name} {chain} handle {handle}")
        }
        (_, Some(network)) => format!("linkspan gc {network}"),
        (Keeper::IptablesLegacy, None) => format!("{program}-legacy -t nat -F {chain}"),
        (_, None) => format!("{program}-nft -t nat -F {chain}"),
    }
}
