//! Flows of UDP that outlive their mapping. Tracking remembers the destination of each flow, so a client that keeps its
//! port would still reach the container that had the host's port before.
//!
//! The kernel walks its whole table for a list of flows, so there is one list for each family, whatever the number of
//! ports.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use linkspan_filter::{kernel, table};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Netfilter;
use linkspan_nftables::conntrack::Flow;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use crate::mapping::{HostIp, Mapping, Protocol};

/// After publishing: forgets the flows to these ports of the host that go elsewhere than to the container.
pub(crate) fn forget_others(rtnl: &Rtnl, mappings: &[Mapping], addresses: &[Cidr]) -> Result<()> {
    for address in addresses {
        let family = Family::of(address.ip());
        let ports = Ports::of(family, led(mappings, &[*address]).into_iter());
        let mut local = Local::of(rtnl);
        ports.forget(
            |flow, port| flow.answered_by != port.container,
            |flow, port| match port.host_ip.one() {
                Some(_) => Ok(true),
                None => local.has(flow.destination.ip()),
            },
        )?;
    }
    Ok(())
}

/// After withdrawing: forgets the flows to these ports of the host that went to their containers.
pub(crate) fn forget_own(withdrawn: &[(Mapping, IpAddr)]) -> Result<()> {
    for family in Family::BOTH {
        Ports::of(family, withdrawn.iter().copied()).forget(
            |flow, port| flow.answered_by == port.container,
            |_, _| Ok(true),
        )?;
    }
    Ok(())
}

/// Each mapping with each of its destination addresses.
pub(crate) fn led(mappings: &[Mapping], addresses: &[Cidr]) -> Vec<(Mapping, IpAddr)> {
    let to = |address: &Cidr| {
        let ip = address.ip();
        mappings.iter().map(move |mapping| (*mapping, ip))
    };
    addresses.iter().flat_map(to).collect()
}

/// A port of the host in one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    host_ip: HostIp,
    container: SocketAddr,
}

/// The ports of UDP in one family, by their numbers.
struct Ports {
    family: Family,
    by_number: HashMap<u16, Vec<Port>>,
}

impl Ports {
    fn of(family: Family, mappings: impl Iterator<Item = (Mapping, IpAddr)>) -> Self {
        let mut by_number: HashMap<u16, Vec<Port>> = HashMap::new();
        for (mapping, ip) in mappings {
            if mapping.protocol == Protocol::Udp
                && mapping.host_ip.concerns(family)
                && Family::of(ip) == family
            {
                by_number.entry(mapping.host_port).or_default().push(Port {
                    host_ip: mapping.host_ip,
                    container: SocketAddr::new(ip, mapping.container_port),
                });
            }
        }
        Self { family, by_number }
    }

    /// The mappings whose port and address the flow was sent to.
    fn to(&self, flow: &Flow) -> impl Iterator<Item = &Port> {
        let ip = flow.destination.ip();
        let same_number = self.by_number.get(&flow.destination.port());
        same_number
            .into_iter()
            .flatten()
            .filter(move |port| port.host_ip.one().is_none_or(|one| one == ip))
    }

    /// Forgets each flow that `picked` and `confirmed` choose for one of its mappings. `confirmed` runs after the
    /// kernel's list has ended.
    fn forget(
        &self,
        picked: impl Fn(&Flow, &Port) -> bool,
        mut confirmed: impl FnMut(&Flow, &Port) -> Result<bool>,
    ) -> Result<()> {
        if self.by_number.is_empty() {
            return Ok(());
        }
        let Some(netfilter) = supported(Netfilter::open())? else {
            return Ok(());
        };
        let udp = Protocol::Udp.number();
        let wanted = |flow: &Flow| self.to(flow).any(|port| picked(flow, port));
        let found = supported(netfilter.flows(self.family, udp, wanted))?;
        for flow in found.unwrap_or_default() {
            for port in self.to(&flow).filter(|port| picked(&flow, port)) {
                if confirmed(&flow, port)? {
                    netfilter.forget(&flow).map_err(kernel)?;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A kernel without this part of netfilter tracks no flows.
fn supported<T>(answer: std::result::Result<T, linkspan_nftables::Error>) -> Result<Option<T>> {
    match answer {
        Err(err) if table::is_absent(&err) => Ok(None),
        answer => answer.map(Some).map_err(kernel),
    }
}

/// The host's own addresses; the kernel is asked once for each.
struct Local<'a> {
    rtnl: &'a Rtnl,
    known: HashMap<IpAddr, bool>,
}

impl<'a> Local<'a> {
    fn of(rtnl: &'a Rtnl) -> Self {
        Self {
            rtnl,
            known: HashMap::new(),
        }
    }

    fn has(&mut self, ip: IpAddr) -> Result<bool> {
        if let Some(known) = self.known.get(&ip) {
            return Ok(*known);
        }
        let lookup = self.rtnl.lookup(ip).map_err(kernel)?;
        let local = lookup.is_some_and(|lookup| lookup.local);
        self.known.insert(ip, local);
        Ok(local)
    }
}
