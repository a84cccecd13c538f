//! The kernel's routes to the other nodes' parts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linkspan_netlink::route::{Route, RouteSpec};
use linkspan_netlink::rtnl::{Context, Rtnl};
use linkspan_protocol::family::Family;

use crate::error::Result;

/// Our routes' protocol number: the agent touches no route of another number.
pub const PROTOCOL: u8 = 113;

/// The outcome of making routes.
#[derive(Debug, Default)]
pub struct Made {
    /// How many parts' routes were added, replaced or deleted.
    pub changed: usize,
    /// Parts that got no route, and why: a line each.
    pub refused: Vec<String>,
}

/// The routes of the namespace that the agent is in.
#[derive(Debug)]
pub struct Routes(Rtnl);

impl Routes {
    /// Opens a connection to the kernel.
    pub fn open() -> Result<Self> {
        Ok(Self(Rtnl::here(&Context::new()?)?))
    }

    /// The networks that the host itself is in, by routes of others. A pod's own route lies in the node's part, and is none.
    pub fn networks(&self, own: &[IpNetwork]) -> Result<Vec<IpNetwork>> {
        let mut networks = Vec::new();
        for family in Family::BOTH {
            for route in self.0.routes(family)? {
                // A pod's old address, outside of the parts, is not a network either.
                let network = network(&route).filter(|network| {
                    network.prefix() > 0 && network.prefix() < family.host_prefix()
                });
                let is_pod = |net: &IpNetwork| own.iter().any(|part| part.contains(net.ip()));
                let told = route.protocol != PROTOCOL && route.gw.is_none();
                networks.extend(network.filter(|network| told && !is_pod(network)));
            }
        }
        Ok(networks)
    }

    /// Makes our routes equal to the planned ones, and leaves those alone that are. A next hop that is not on a link gets no
    /// route: a line tells of it.
    pub fn make(&self, planned: &BTreeMap<IpNetwork, IpAddr>) -> Result<Made> {
        let mut made = Made::default();
        let mut present: BTreeMap<IpNetwork, Vec<Route>> = BTreeMap::new();
        for family in Family::BOTH {
            let ours = self.0.routes(family)?;
            for route in ours.into_iter().filter(|route| route.protocol == PROTOCOL) {
                if let Some(network) = network(&route) {
                    present.entry(network).or_default().push(route);
                }
            }
        }
        for (part, hop) in planned {
            let Some(link) = self.link_to(*hop)? else {
                let told = format!("no route to {part}: {hop} is not on a link of this node");
                made.refused.push(told);
                continue;
            };
            let old = present.remove(part).unwrap_or_default();
            let is_it = |route: &Route| route.gw == Some(*hop) && route.oif == Some(link);
            if !old.iter().any(is_it) {
                self.replace(*part, *hop, link)?;
                made.changed += 1;
            }
            // IPv6's replacement of a route with another next hop may leave the old one.
            for stale in self.stale(*part, &old, is_it)? {
                self.0.delete_route(&stale)?;
            }
        }
        for stale in present.into_values().flatten() {
            self.0.delete_route(&stale)?;
            made.changed += 1;
        }
        Ok(made)
    }

    /// Those of a part's old routes that are still there and are not the planned one.
    fn stale(
        &self,
        part: IpNetwork,
        old: &[Route],
        is_it: impl Fn(&Route) -> bool,
    ) -> Result<Vec<Route>> {
        if old.iter().all(&is_it) {
            return Ok(Vec::new());
        }
        let now = self.0.routes(Family::of(part.ip()))?;
        let of_part = |route: &Route| route.protocol == PROTOCOL && network(route) == Some(part);
        Ok(now
            .into_iter()
            .filter(|route| of_part(route) && !is_it(route))
            .collect())
    }

    /// Index of the link that a next hop is on.
    fn link_to(&self, hop: IpAddr) -> Result<Option<u32>> {
        let way = self.0.way_to(hop)?;
        Ok(way
            .filter(|way| !way.local && way.gw.is_none())
            .and_then(|way| way.oif))
    }

    fn replace(&self, part: IpNetwork, hop: IpAddr, link: u32) -> Result<()> {
        let Some(link) = self.0.link_by_index(link)? else {
            return Ok(());
        };
        link.replace_route(&RouteSpec {
            gw: Some(hop),
            protocol: Some(PROTOCOL),
            ..RouteSpec::to(part.network(), part.prefix())
        })?;
        Ok(())
    }
}

fn network(route: &Route) -> Option<IpNetwork> {
    IpNetwork::new(route.dst.0, route.dst.1).ok()
}
