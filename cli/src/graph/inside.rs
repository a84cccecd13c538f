//! The namespace of a pod as it is: the routes of each interface, in the tables that packets look up.

use std::collections::BTreeMap;
use std::path::Path;

use linkspan_netlink::link::{Kind, Link};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::{MAIN, Route};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::rule::Rule;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::model::Table;
use super::told;

/// The contents of a namespace.
#[derive(Debug)]
pub(super) struct Inside {
    links: Vec<Link>,
    routes: Vec<Route>,
    rules: Vec<Rule>,
}

impl Inside {
    /// `None` where the namespace cannot be entered or read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let rtnl = Rtnl::open(&Netns::open(path).ok()?).ok()?;
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        for family in Family::BOTH {
            routes.extend(rtnl.routes_of_every_table(family).ok()?);
            // A kernel may have no rules of a family.
            rules.extend(rtnl.rules(family).unwrap_or_default());
        }
        Some(Self {
            links: rtnl.links().ok()?,
            routes,
            rules,
        })
    }

    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The VRF that has the link as a port.
    pub(super) fn vrf(&self, link: &Link) -> Option<&Link> {
        let controller = self
            .links
            .iter()
            .find(|one| Some(one.index) == link.controller);
        controller.filter(|one| one.kind == "vrf")
    }

    /// The tables with routes by a link, the main one first. A table that no rule and no VRF leads to has no packets, so it
    /// is left out.
    pub(super) fn tables(&self, link: &Link, own: &[Cidr]) -> Vec<Table> {
        let mut by_table: BTreeMap<u32, Vec<&Route>> = BTreeMap::new();
        for route in self
            .routes
            .iter()
            .filter(|route| route.oif == Some(link.index))
        {
            by_table.entry(route.table).or_default().push(route);
        }
        let table = |(table, routes): (u32, Vec<&Route>)| Table {
            number: table,
            rules: self.rules_of(table, link),
            routes: told::routes(routes, own),
        };
        let mut tables: Vec<Table> = by_table.into_iter().map(table).collect();
        tables.retain(|one| one.number == MAIN || !one.rules.is_empty());
        tables.retain(|one| !one.routes.is_empty());
        tables.sort_by_key(|one| (one.number != MAIN, one.number));
        tables
    }

    /// The packets that look up a table, in words; none for the main one.
    fn rules_of(&self, table: u32, link: &Link) -> Vec<String> {
        if table == MAIN {
            return Vec::new();
        }
        let of_table = self.rules.iter().filter(|rule| rule.table == Some(table));
        let mut rules: Vec<String> = of_table.map(words).collect();
        if let Some(vrf) = self.vrf(link)
            && vrf.kind == (Kind::Vrf { table })
        {
            rules.push(format!("in VRF {}", vrf.name));
        }
        rules.sort();
        rules.dedup();
        rules
    }
}

fn words(rule: &Rule) -> String {
    let mut words = Vec::new();
    let mut tell = |word: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{word} {value}")));
    };
    let network = |(ip, prefix): (std::net::IpAddr, u8)| {
        let is_whole = prefix == Family::of(ip).host_prefix();
        if is_whole {
            ip.to_string()
        } else {
            format!("{ip}/{prefix}")
        }
    };
    tell("from", rule.src.map(network));
    tell("to", rule.dst.map(network));
    tell("arriving by", rule.iif.clone());
    tell("bound to", rule.oif.clone());
    tell(
        "marked",
        rule.mark
            .map(|mark| format!("{:#x}/{:#x}", mark.value, mark.mask)),
    );
    if words.is_empty() {
        return "all packets".to_owned();
    }
    words.join(" ")
}
