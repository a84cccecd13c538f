//! The kernel's routes to the other nodes' parts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linkspan_netlink::encap::Encap;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::{Route, RouteSpec};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;

use crate::error::Result;
use crate::list::gateway;
use crate::tunnel;
use crate::ways::{Mode, Way, Ways};

/// Our routes' protocol number. The agent changes only routes with this number.
pub const PROTOCOL: u8 = 113;

/// The outcome of [`Routes::make`].
#[derive(Debug, Default)]
pub struct Made {
    /// The number of routes.
    pub count: usize,
    /// The number of parts whose routes were added, replaced or deleted.
    pub changed: usize,
    /// The number of routes into the tunnel.
    pub tunnelled: usize,
    /// The MTU that fits all routes; `None` without routes.
    pub mtu: Option<u32>,
    /// A line for each part without a route, with the reason.
    pub refused: Vec<String>,
    /// Routes that may stand beside those whose place they took.
    replaced: BTreeMap<(IpAddr, u8), Wanted>,
}

/// The routes of the agent's namespace.
#[derive(Debug)]
pub struct Routes {
    rtnl: Rtnl,
    ways: Ways,
}

/// The present routes.
#[derive(Debug, Default)]
pub struct Seen {
    ours: BTreeMap<IpNetwork, Vec<Route>>,
    others: Vec<Route>,
}

impl Seen {
    /// The networks that the host itself is in.
    pub fn networks(&self) -> Vec<IpNetwork> {
        let on_link = self.others.iter().filter(|route| route.gw.is_none());
        let networks = on_link.filter_map(network).filter(|network| {
            // The former address of a pod, outside of the parts, does not count as a network.
            network.prefix() > 0 && network.prefix() < Family::of(network.ip()).host_prefix()
        });
        networks.collect()
    }
}

impl Routes {
    /// Opens a connection to the kernel.
    pub fn open(mode: Mode) -> Result<Self> {
        Ok(Self {
            rtnl: Rtnl::here()?,
            ways: Ways::new(mode),
        })
    }

    /// Looks at the routes, except those of pods within the node's own parts.
    pub fn see(&self, own: &[IpNetwork]) -> Result<Seen> {
        let mut seen = Seen::default();
        for family in Family::BOTH {
            for route in self.rtnl.routes(family)? {
                let Some(network) = network(&route) else {
                    continue;
                };
                if route.protocol == PROTOCOL {
                    seen.ours.entry(network).or_default().push(route);
                } else if !own
                    .iter()
                    .any(|part| part.contains(network.ip()) && part.prefix() <= network.prefix())
                {
                    seen.others.push(route);
                }
            }
        }
        Ok(seen)
    }

    /// Makes our routes equal to the planned ones, and leaves equal ones unchanged. A part that cannot be reached gets
    /// no route, and a line in `refused`.
    pub fn make(
        &mut self,
        own: &[IpNetwork],
        planned: &BTreeMap<IpNetwork, Vec<IpAddr>>,
        seen: Seen,
    ) -> Result<Made> {
        let mut made = Made::default();
        let Seen { mut ours, others } = seen;
        self.ways.look_anew_unless(others);
        let (mut direct, mut tunnelled) = (Vec::new(), Vec::new());
        for (part, hops) in planned {
            match self.ways.to(&self.rtnl, *part, hops)? {
                Ok(way @ Way::Direct(..)) => direct.push((*part, way)),
                Ok(way @ Way::Tunnel(..)) => tunnelled.push((*part, way)),
                Err(why) => made.refused.push(format!("no route to {part}: {why}")),
            }
        }
        let mut links = BTreeMap::new();
        for (part, way) in direct {
            let Some(link) = self.link(&mut links, way.link())? else {
                made.refused
                    .push(format!("no route to {part}: its link is gone"));
                continue;
            };
            made.allow(link.mtu);
            let spec = RouteSpec {
                gw: Some(way.hop()),
                ..ours_to(part)
            };
            settle(link, &spec, ours.remove(&part), &mut made)?;
        }
        if !tunnelled.is_empty() {
            match self.tunnel(own, &tunnelled, &mut links)? {
                Ok(link) => {
                    made.allow(link.mtu);
                    for (part, way) in tunnelled {
                        let spec = RouteSpec {
                            encap: Some(Encap {
                                id: tunnel::ID,
                                remote: way.hop(),
                            }),
                            src: source(own, part),
                            ..ours_to(part)
                        };
                        settle(&link, &spec, ours.remove(&part), &mut made)?;
                        made.tunnelled += 1;
                    }
                }
                Err(why) => {
                    let told = tunnelled
                        .iter()
                        .map(|(part, _)| format!("no route to {part}: {why}"));
                    made.refused.extend(told);
                }
            }
        }
        self.remove_replaced(&made.replaced)?;
        for stale in ours.into_values().flatten() {
            self.rtnl.delete_route(&stale)?;
            made.changed += 1;
        }
        if made.tunnelled == 0 {
            tunnel::remove(&self.rtnl)?;
        }
        Ok(made)
    }

    /// The tunnel's link, with the MTU that fits all far ends, or the reason why it is missing.
    fn tunnel(
        &self,
        own: &[IpNetwork],
        tunnelled: &[(IpNetwork, Way)],
        links: &mut BTreeMap<u32, Link>,
    ) -> Result<std::result::Result<Link, String>> {
        let mut mtu = u32::MAX;
        for (_, way) in tunnelled {
            if let Some(link) = self.link(links, way.link())? {
                let overhead = tunnel::overhead(Family::of(way.hop()));
                mtu = mtu.min(link.mtu.saturating_sub(overhead));
            }
        }
        let addresses: Vec<IpAddr> = own.iter().filter_map(|part| gateway(*part)).collect();
        let link = match tunnel::ensure(&self.rtnl, mtu, &addresses) {
            Ok(link) => link,
            Err(err) => return Ok(Err(err.to_string())),
        };
        forward(&link)?;
        Ok(Ok(link))
    }

    /// A link by its index, looked up once. Switches its forwarding on.
    fn link<'a>(&self, links: &'a mut BTreeMap<u32, Link>, index: u32) -> Result<Option<&'a Link>> {
        if !links.contains_key(&index)
            && let Some(link) = self.rtnl.link_by_index(index)?
        {
            forward(&link)?;
            links.insert(index, link);
        }
        Ok(links.get(&index))
    }

    /// IPv6 replaces a route by another with a next hop where it has one itself, and keeps it otherwise. One look is for all
    /// of these.
    fn remove_replaced(&self, replaced: &BTreeMap<(IpAddr, u8), Wanted>) -> Result<()> {
        for family in Family::BOTH {
            if !replaced.keys().any(|(ip, _)| Family::of(*ip) == family) {
                continue;
            }
            for route in self.rtnl.routes(family)? {
                let wanted = replaced.get(&route.dst);
                if route.protocol == PROTOCOL && wanted.is_some_and(|wanted| !wanted.is(&route)) {
                    self.rtnl.delete_route(&route)?;
                }
            }
        }
        Ok(())
    }
}

/// Makes one route as planned.
fn settle(link: &Link, spec: &RouteSpec, old: Option<Vec<Route>>, made: &mut Made) -> Result<()> {
    made.count += 1;
    let old = old.unwrap_or_default();
    let wanted = Wanted::new(link, spec);
    if old.len() == 1 && old.iter().all(|route| wanted.is(route)) {
        return Ok(());
    }
    made.changed += 1;
    link.replace_route(spec)?;
    // A look at all routes costs more than everything else, so it is for those alone that may be left.
    let is_of_one_kind = |route: &Route| route.gw.is_some() == wanted.gw.is_some();
    if old.len() > 1 || !old.iter().all(is_of_one_kind) {
        made.replaced.insert(spec.dst, wanted);
    }
    Ok(())
}

/// The properties that distinguish routes to the same part.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    gw: Option<IpAddr>,
    link: u32,
    encap: Option<Encap>,
    src: Option<IpAddr>,
}

impl Wanted {
    fn new(link: &Link, spec: &RouteSpec) -> Self {
        Self {
            gw: spec.gw,
            link: link.index,
            encap: spec.encap,
            src: spec.src,
        }
    }

    fn is(&self, route: &Route) -> bool {
        (route.gw, route.oif, route.encap, route.src)
            == (self.gw, Some(self.link), self.encap, self.src)
    }
}

impl Made {
    fn allow(&mut self, mtu: u32) {
        self.mtu = Some(self.mtu.map_or(mtu, |known| known.min(mtu)));
    }
}

/// IPv4 checks the switch of the incoming link. IPv6 checks the host's, which the plugins set.
fn forward(link: &Link) -> Result<()> {
    if !link.routing.forwards(Family::V4) {
        link.forward_ipv4()?;
    }
    Ok(())
}

fn ours_to(part: IpNetwork) -> RouteSpec {
    RouteSpec {
        protocol: Some(PROTOCOL),
        ..RouteSpec::to(part.network(), part.prefix())
    }
}

/// The host's own address towards a part behind the tunnel.
fn source(own: &[IpNetwork], part: IpNetwork) -> Option<IpAddr> {
    let family = Family::of(part.ip());
    let of_family = own.iter().find(|own| Family::of(own.ip()) == family);
    of_family.and_then(|own| gateway(*own))
}

fn network(route: &Route) -> Option<IpNetwork> {
    IpNetwork::new(route.dst.0, route.dst.1).ok()
}
