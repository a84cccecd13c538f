//! Judges the networks of a directory as one system: beside each other, and beside the host.

use std::fs;
use std::path::{Path, PathBuf};

use linkspan_netlink::link::Link;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::{Result, confdir, kernel};
use serde_json::Value;

use super::{Report, Validator};
use crate::addressing::{Conf, HostRoute, overlaps};

/// The least MTU of a link with IPv6, and of any other.
const LEAST: [u64; 2] = [1280, 68];

/// The host, as far as it may be seen.
#[derive(Debug, Default)]
struct Host {
    links: Vec<Link>,
    routes: Vec<HostRoute>,
    /// The smallest MTU of the links of default routes.
    uplink: Option<(String, u32)>,
}

impl Validator<'_> {
    /// Compares the network with the other lists of an engine's directory and with the host. A list elsewhere is judged
    /// by itself, because it may be meant for another host.
    pub(super) fn beside_others(
        &self,
        path: &Path,
        dir: &Path,
        list: &NetworkList,
        report: &mut Report,
    ) {
        let conf = Conf(list);
        alone(conf, report);
        if !is_same(dir, self.net_dir) {
            return;
        }
        let name = path.file_name();
        let every = confdir::each(dir).unwrap_or_default();
        // A file that cannot be decoded is judged in its turn.
        let good = |(path, list): (PathBuf, Result<NetworkList>)| Some((path, list.ok()?));
        let every: Vec<(PathBuf, NetworkList)> = every.into_iter().filter_map(good).collect();
        let is_own = |(other, _): &&(PathBuf, NetworkList)| other.file_name() == name;
        let earlier: Vec<_> = every.iter().take_while(|one| !is_own(one)).collect();
        twice(path, list, &earlier, report);
        let others = every.iter().filter(|one| !is_own(one));
        let others: Vec<Conf<'_>> = others.map(|(_, list)| Conf(list)).collect();
        bridges(conf, &others, report);
        // Without the rights to look, only the directory is compared.
        let host = Host::read().unwrap_or_default();
        for found in overlaps(conf, &others, &host.routes) {
            report
                .problems
                .push(format!("{}; {}", found.what, found.mend));
        }
        host.contradicts(conf, report);
    }
}

/// Reports a name that an earlier file has: engines never use this one.
fn twice(
    path: &Path,
    list: &NetworkList,
    earlier: &[&(PathBuf, NetworkList)],
    report: &mut Report,
) {
    let mut earlier = earlier.iter();
    if let Some((first, _)) = earlier.find(|(_, other)| other.name == list.name) {
        report.problems.push(format!(
            "{} has the name {:?}, too, and comes first; rename the network in {}",
            first.display(),
            list.name,
            path.display()
        ));
    }
}

/// Reports faults that a network has on any host.
fn alone(conf: Conf<'_>, report: &mut Report) {
    for range in conf.ranges() {
        if conf.has(&["bridge", "ptp", "veth"]) && !range.subnet.contains(range.gateway) {
            report.warnings.push(format!(
                "the gateway {} is outside of the subnet {}, so pods have no route to it; choose an address of the subnet",
                range.gateway, range.subnet
            ));
        }
    }
    let least = if conf.has_family(Family::V6) {
        LEAST[0]
    } else {
        LEAST[1]
    };
    for plugin in &conf.0.plugins {
        let mtu = plugin.keys.get("mtu").and_then(Value::as_u64);
        if let Some(mtu) = mtu.filter(|mtu| (1..least).contains(mtu)) {
            report.problems.push(format!(
                "mtu {mtu} is less than {least}, which the network's addresses need; set \"mtu\": {least} or more"
            ));
        }
        let declares = plugin.standard.capabilities.get("portMappings") == Some(&true);
        if plugin.kind() == "portmap" && !declares && !plugin.keys.contains_key("runtimeConfig") {
            report.warnings.push(
                "portmap never gets a port; add \"capabilities\": { \"portMappings\": true } to it"
                    .to_owned(),
            );
        }
    }
}

/// Reports gateways of two networks on one bridge: the second ADD is refused.
fn bridges(conf: Conf<'_>, others: &[Conf<'_>], report: &mut Report) {
    let Some((bridge, plugin)) = conf.bridge().filter(|_| conf.is_gateway()) else {
        return;
    };
    if is_forced(plugin.keys.get("forceAddress")) {
        return;
    }
    let of_bridge = |other: &&Conf<'_>| {
        let name = other.bridge().map(|(name, _)| name);
        other.is_gateway() && name == Some(bridge)
    };
    for other in others.iter().filter(of_bridge) {
        for (own, their) in pairs(conf, *other) {
            report.problems.push(format!(
                "the bridge {bridge} would have the gateways {own} and {their}, that of the network {}; give one of the networks another bridge",
                other.name()
            ));
        }
    }
}

/// The first gateways of each family, where those of two networks differ.
fn pairs(one: Conf<'_>, other: Conf<'_>) -> Vec<(String, String)> {
    let gateway = |conf: Conf<'_>, family| {
        let ranges = conf.ranges();
        let mut of_family = ranges
            .iter()
            .filter(|one| Family::of(one.gateway) == family);
        of_family.next().map(|one| (one.gateway, one.subnet))
    };
    let differing = |family| {
        let (own, their) = (gateway(one, family)?, gateway(other, family)?);
        (own.0 != their.0).then(|| (own.0.to_string(), their.0.to_string()))
    };
    Family::BOTH.into_iter().filter_map(differing).collect()
}

fn is_forced(key: Option<&Value>) -> bool {
    key == Some(&Value::Bool(true))
}

impl Host {
    fn read() -> Result<Self> {
        let rtnl = Rtnl::here();
        let rtnl = rtnl.map_err(kernel)?;
        let links = rtnl.links().map_err(kernel)?;
        let mut routes = Vec::new();
        for family in Family::BOTH {
            routes.extend(rtnl.routes(family).map_err(kernel)?);
        }
        let defaults = routes.iter().filter(|route| route.dst.1 == 0);
        let uplinks =
            defaults.filter_map(|route| links.iter().find(|link| Some(link.index) == route.oif));
        let uplink = uplinks.min_by_key(|link| link.mtu);
        Ok(Self {
            uplink: uplink.map(|link| (link.name.clone(), link.mtu)),
            routes: HostRoute::of(&routes, &links),
            links,
        })
    }

    /// Reports conflicts with the host, and demands that it cannot meet.
    fn contradicts(&self, conf: Conf<'_>, report: &mut Report) {
        if let Some((name, most)) = self.uplink.as_ref().filter(|_| conf.is_routed()) {
            for plugin in &conf.0.plugins {
                let mtu = plugin.keys.get("mtu").and_then(Value::as_u64);
                if let Some(mtu) = mtu.filter(|mtu| *mtu > u64::from(*most)) {
                    report.warnings.push(format!(
                        "mtu {mtu} is more than the {most} of {name}, so large packets are lost or fragmented; set \"mtu\": {most}"
                    ));
                }
            }
        }
        let Some((bridge, plugin)) = conf.bridge().filter(|_| conf.is_gateway()) else {
            return;
        };
        let link = self.links.iter().find(|link| link.name == bridge);
        let Some(link) = link.filter(|_| !is_forced(plugin.keys.get("forceAddress"))) else {
            return;
        };
        let Ok(there) = link.addrs(None) else {
            return;
        };
        for family in Family::BOTH {
            let of_family = |ip: &std::net::IpAddr| Family::of(*ip) == family;
            let is_link_local = |ip: &std::net::IpAddr| matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
            let there: Vec<_> = there
                .iter()
                .map(|addr| addr.ip)
                .filter(of_family)
                .filter(|ip| !is_link_local(ip))
                .collect();
            let ranges = conf.ranges();
            let wanted: Vec<_> = ranges
                .iter()
                .map(|one| one.gateway)
                .filter(of_family)
                .collect();
            let (Some(has), Some(wants)) = (there.first(), wanted.first()) else {
                continue;
            };
            if !wanted.iter().any(|ip| there.contains(ip)) {
                report.problems.push(format!(
                    "the bridge {bridge} has the address {has}, and the list wants {wants}, so every ADD fails; give the list another bridge, or detach its containers and remove the bridge: ip link del {bridge}"
                ));
            }
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}
