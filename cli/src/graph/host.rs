//! The host's part of a picture: which of its links are in it, and which is on which.

use std::collections::BTreeSet;

use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use linkspan_runtime::{Result, kernel};

use super::model::HostLink;
use super::told;

/// The host as it is at one moment.
#[derive(Debug)]
pub(super) struct Host {
    links: Vec<Link>,
    /// The routes of the main table.
    routes: Vec<Route>,
}

/// The drawn parts of the host.
#[derive(Debug)]
struct Part<'a> {
    names: BTreeSet<&'a String>,
    /// The links that pods are on, in the order of pods.
    used: &'a [String],
}

impl Host {
    pub(super) fn read() -> Result<Self> {
        let rtnl = Rtnl::here().map_err(kernel)?;
        let mut routes = Vec::new();
        for family in Family::BOTH {
            routes.extend(rtnl.routes(family).map_err(kernel)?);
        }
        Ok(Self {
            links: rtnl.links().map_err(kernel)?,
            routes,
        })
    }

    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn at(&self, index: Option<u32>) -> Option<&Link> {
        self.links.iter().find(|link| Some(link.index) == index)
    }

    /// The link that an interface of a pod is on: the bridge of its pair, the host's end of it, or its parent.
    pub(super) fn below(&self, inside: &Link) -> Option<&Link> {
        inside.peer_netns?;
        let near = self.at(inside.peer_index)?;
        let is_pair = inside.kind.is_pair();
        if is_pair && near.peer_index != Some(inside.index) {
            return None;
        }
        Some(if is_pair { self.carrier(near) } else { near })
    }

    /// The bridge of a link, or the link itself.
    pub(super) fn carrier<'a>(&'a self, link: &'a Link) -> &'a Link {
        self.at(link.controller).unwrap_or(link)
    }

    /// The link of the host that another one is on.
    fn under(&self, link: &Link) -> Option<&Link> {
        if let Some(controller) = self.at(link.controller) {
            return Some(controller);
        }
        if link.peer_netns.is_some() {
            return None;
        }
        let other = self.at(link.peer_index)?;
        // A pair of the host itself leads to the bridge of its other end.
        if link.kind.is_pair() {
            self.at(other.controller)
        } else {
            Some(other)
        }
    }

    /// The links of the picture, each behind the one that it is on. They are those that pods are on and those below, and
    /// the uplinks: of the whole node those with an address, of a part of it those of default routes.
    pub(super) fn drawn(&self, used: &[String], is_whole: bool) -> Result<Vec<HostLink>> {
        let mut names = BTreeSet::new();
        for link in self.links.iter().filter(|link| link.name != "lo") {
            let leads = |route: &Route| route.oif == Some(link.index) && route.dst.1 == 0;
            let is_end = link.kind.is_pair() && link.controller.is_some();
            let is_uplink = self.routes.iter().any(leads)
                || (is_whole && !is_end && !addresses(link)?.is_empty());
            if is_uplink || used.contains(&link.name) {
                names.extend(self.chain(link).map(|link| &link.name));
            }
        }
        // The ports of a bridge that lead out of the host.
        let is_port = |link: &&Link| {
            let is_drawn = |bridge: &Link| names.contains(&bridge.name);
            !link.kind.is_pair() && self.at(link.controller).is_some_and(is_drawn)
        };
        let ports: Vec<&String> = self
            .links
            .iter()
            .filter(is_port)
            .map(|link| &link.name)
            .collect();
        names.extend(ports);
        let mut drawn = Vec::new();
        let part = Part { names, used };
        self.add_on(None, 0, &part, &mut drawn)?;
        Ok(drawn)
    }

    /// A link, the one that it is on, and so on. Links of the kernel make no circle, but a list of them that changes may.
    fn chain<'a>(&'a self, link: &'a Link) -> impl Iterator<Item = &'a Link> {
        let below = std::iter::successors(Some(link), |link| self.under(link));
        below.take(self.links.len())
    }

    /// The place of a link among those that pods are on, by itself or by another one.
    fn first_use(&self, link: &Link, used: &[String]) -> usize {
        let leads = |name: &String| {
            let used = self.link(name);
            used.is_some_and(|used| self.chain(used).any(|below| below.index == link.index))
        };
        used.iter().position(leads).unwrap_or(used.len())
    }

    /// Adds the links that are on `below`, each with those on it: first those that pods are on, in the order of pods.
    fn add_on(
        &self,
        below: Option<&Link>,
        depth: usize,
        part: &Part<'_>,
        drawn: &mut Vec<HostLink>,
    ) -> Result<()> {
        let index = |link: Option<&Link>| link.map(|link| link.index);
        let mut on_it: Vec<&Link> = self.links.iter().collect();
        on_it.retain(|link| part.names.contains(&link.name));
        on_it.retain(|link| index(self.under(link)) == index(below) && depth <= part.names.len());
        on_it.sort_by_cached_key(|link| (self.first_use(link, part.used), link.name.clone()));
        for link in on_it {
            drawn.push(self.shown(link, below, depth)?);
            self.add_on(Some(link), depth.saturating_add(1), part, drawn)?;
        }
        Ok(())
    }

    fn shown(&self, link: &Link, below: Option<&Link>, depth: usize) -> Result<HostLink> {
        let by_it = |route: &&Route| route.oif == Some(link.index);
        let by_it = self.routes.iter().filter(by_it).collect();
        let own = addresses(link)?;
        Ok(HostLink {
            name: link.name.clone(),
            kind: told::kind(link),
            up: link.up,
            addresses: told::texts(&own),
            on: below.map(|link| link.name.clone()),
            depth,
            routes: told::routes(by_it, &own),
        })
    }
}

/// The addresses of a link that reach beyond it.
pub(super) fn addresses(link: &Link) -> Result<Vec<Cidr>> {
    let mut all = link.addrs(None).map_err(kernel)?;
    all.retain(|addr| addr.scope == 0);
    all.sort_by_key(|addr| (addr.ip, addr.prefix));
    let all = all
        .iter()
        .filter_map(|addr| Cidr::new(addr.ip, addr.prefix));
    Ok(all.collect())
}
