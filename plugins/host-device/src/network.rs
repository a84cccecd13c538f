//! The host's network on a device: its addresses, its routes, and the rules that lead to these. A device that moves to
//! another namespace loses its addresses and routes.

use std::net::IpAddr;

use linkspan_attach::routes::is_past;
use linkspan_attach::{Side, kernel};
use linkspan_netlink::addr::{Addr, AddrFlags};
use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::LOCAL;
use linkspan_netlink::rule::Rule;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Teardown};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, IpConfig, Route};
use nix::errno::Errno;

/// The treatment of the host's network on a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Whether the container gets it.
    pub(crate) taken: bool,
    /// Whether DEL restores it on the host.
    pub(crate) put_back: bool,
}

/// The host's network on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    addrs: Vec<Cidr>,
    routes: Vec<Stored>,
    rules: Vec<Rule>,
}

impl Fate {
    /// The form in the memory: one line.
    pub(crate) fn text(self) -> String {
        let words = [(self.taken, "taken"), (self.put_back, "back")];
        let words = words.into_iter().filter(|(is_so, _)| *is_so);
        words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    }

    /// Reads [`Fate::text`].
    pub(crate) fn parse(text: &str) -> Self {
        let has = |word| text.split(' ').any(|found| found == word);
        Self {
            taken: has("taken"),
            put_back: has("back"),
        }
    }
}

impl Network {
    /// The network of a device on the host. A temporary IPv6 address comes from a router or a server, which gives it
    /// again; a temporary IPv4 address would be lost, so it is kept.
    pub(crate) fn of(host: &Side, link: &Link) -> Result<Self> {
        let addrs = link.addrs(None).map_err(kernel)?.into_iter();
        let is_global = |addr: &Addr| addr.scope == 0 && (addr.ip.is_ipv4() || addr.permanent);
        let addrs = addrs.filter(is_global);
        let addrs: Vec<_> = addrs
            .filter_map(|addr| Cidr::new(addr.ip, addr.prefix))
            .collect();
        // A link that is down or without addresses has no routes of its own.
        if addrs.is_empty() || !link.up {
            return Ok(Self {
                addrs,
                ..Self::default()
            });
        }
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        for family in Family::BOTH {
            // A kernel without IPv6 has neither routes nor rules of it.
            routes.extend(known(family, host.rtnl.stored_routes(family))?);
            rules.extend(known(family, host.rtnl.rules(family))?);
        }
        let routes: Vec<_> = routes
            .into_iter()
            .filter(|route| is_its(route, link.index))
            .map(|route| route.part_by(link.index).unwrap_or(route))
            .collect();
        let covers = |(network, prefix): (IpAddr, u8)| {
            let network = Cidr::new(network, prefix);
            network.is_some_and(|network| addrs.iter().any(|addr| network.contains(addr.ip())))
        };
        let leads_here = |rule: &Rule| {
            rule.table
                .is_some_and(|to| routes.iter().any(|route| route.table() == to))
        };
        rules.retain(|rule| rule.src.is_some_and(covers) && leads_here(rule));
        Ok(Self {
            addrs,
            routes,
            rules,
        })
    }

    /// Adds its addresses to a result, which may have some of them already.
    pub(crate) fn add_addresses(&self, interface: i64, result: &mut AddResult) {
        for address in &self.addrs {
            if !result.ips.iter().any(|ip| ip.address.ip() == address.ip()) {
                result.ips.push(IpConfig {
                    interface: Some(interface),
                    address: *address,
                    gateway: None,
                });
            }
        }
    }

    /// Adds its routes and rules to the container, and the routes to the result. The link is up and has the addresses.
    pub(crate) fn add_routes(
        &self,
        sandbox: &Side,
        link: &Link,
        result: &mut AddResult,
    ) -> Result<()> {
        for route in self.routes_by(link) {
            present(sandbox.rtnl.add_stored(&route))?;
            result.routes.extend(told(&route));
        }
        for rule in &self.rules {
            present(sandbox.rtnl.add_rule(rule))?;
        }
        Ok(())
    }

    /// Deletes its rules in the container. The routes go with the device.
    pub(crate) fn take_rules_from(&self, sandbox: &Side) -> Result<()> {
        for rule in &self.rules {
            match sandbox.rtnl.delete_rule(rule) {
                Err(err) if err.is(Errno::ENOENT) => {}
                deleted => deleted.map_err(kernel)?,
            }
        }
        Ok(())
    }

    /// Restores its addresses and routes on the host; its rules have stayed there. Skips routes whose next hop is
    /// unreachable by now.
    pub(crate) fn put_back(&self, host: &Side, link: &Link, teardown: &mut Teardown) {
        // The addresses were not in use while the device was away.
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        for addr in &self.addrs {
            let added = link.add_addr(addr.ip(), addr.prefix(), flags);
            teardown.run("put back an address", || present(added));
        }
        for route in self.routes_by(link) {
            let added = host.rtnl.add_stored(&route);
            teardown.run("put back a route", || is_past(added));
        }
    }

    /// The routes by the link, each after the routes to its next hop.
    fn routes_by(&self, link: &Link) -> Vec<Stored> {
        let mut routes = self.routes.clone();
        routes.sort_by_key(|route| (u8::MAX - route.scope(), route.has_gateway()));
        let routes = routes.into_iter();
        routes.map(|route| route.by_link(link.index)).collect()
    }

    /// The form in the memory: one line.
    pub(crate) fn text(&self) -> String {
        let addrs = self.addrs.iter().map(|addr| format!("addr={addr}"));
        let routes = self.routes.iter().map(|it| format!("route={}", it.text()));
        let rules = self.rules.iter().map(|it| format!("rule={}", it.text()));
        let words = addrs.chain(routes).chain(rules);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Reads [`Network::text`]; malformed words are absent.
    pub(crate) fn parse(text: &str) -> Self {
        let mut network = Self::default();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("addr", addr)) => network.addrs.extend(Cidr::parse(addr)),
                Some(("route", route)) => network.routes.extend(Stored::parse(route)),
                Some(("rule", rule)) => network.rules.extend(Rule::parse(rule)),
                _ => {}
            }
        }
        network
    }
}

/// Returns whether a route is by the device and was not made by the kernel or a router, which recreate theirs.
fn is_its(route: &Stored, index: u32) -> bool {
    let is_made_anew = route.is_of_the_kernel() || route.is_advertised();
    let is_link_local = matches!(route.dst().0, IpAddr::V6(ip) if ip.is_unicast_link_local());
    route.leaves_by(index)
        && route.is_unicast()
        && route.table() != LOCAL
        && !is_made_anew
        && !is_link_local
}

fn known<T>(family: Family, listed: std::result::Result<Vec<T>, Error>) -> Result<Vec<T>> {
    match listed {
        Err(err) if family == Family::V6 && err.is(Errno::EOPNOTSUPP) => Ok(Vec::new()),
        listed => listed.map_err(kernel),
    }
}

/// Accepts an object that exists already.
fn present(added: std::result::Result<(), Error>) -> Result<()> {
    match added {
        Err(err) if err.is(Errno::EEXIST) => Ok(()),
        added => added.map_err(kernel),
    }
}

/// The route in the result's form, one for each next hop.
fn told(route: &Stored) -> Vec<Route> {
    let (dst, prefix) = route.dst();
    let Some(dst) = Cidr::new(dst, prefix) else {
        return Vec::new();
    };
    let hops = route.hops().into_iter().map(|hop| Route {
        priority: route.priority().into(),
        table: Some(route.table().into()),
        scope: Some(route.scope().into()),
        ..Route::via(dst, hop.gw)
    });
    hops.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_and_its_fate_are_read_as_they_were_written() {
        let mut rule = Rule::of_table(Family::V4, 77);
        rule.src = Some(([10, 7, 0, 0].into(), 16));
        rule.priority = Some(100);
        let network = Network {
            addrs: vec![Cidr::parse("10.7.0.5/16").unwrap()],
            routes: Vec::new(),
            rules: vec![rule],
        };
        for network in [network, Network::default()] {
            assert_eq!(Network::parse(&network.text()), network);
        }
        assert_eq!(
            Network::parse("addr=x route=zz rule= later=1"),
            Network::default()
        );
        for (taken, put_back) in [(false, false), (true, false), (false, true), (true, true)] {
            let fate = Fate { taken, put_back };
            assert_eq!(Fate::parse(&fate.text()), fate);
        }
    }
}
