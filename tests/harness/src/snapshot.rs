//! The state of a namespace, as lines to compare.

use std::fs;
use std::net::IpAddr;

use linkspan_netlink::link::Link;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;

use crate::lab::{Lab, Sandbox};

/// Links, addresses, routes and rules of a namespace, sorted. A difference of two is readable.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(Vec<String>);

impl Snapshot {
    /// The host: its links, addresses, routes and rules, and the leases.
    pub fn of_host(lab: &Lab) -> Self {
        let mut lines = kernel_state(&lab.rtnl());
        for network in fs::read_dir(lab.leases()).into_iter().flatten().flatten() {
            let name = network.file_name().to_string_lossy().into_owned();
            lines.extend(
                lab.leased(&name)
                    .into_iter()
                    .map(|ip| format!("lease {name} {ip}")),
            );
        }
        Self::sorted(lines)
    }

    /// A container.
    pub fn of_sandbox(sandbox: &Sandbox) -> Self {
        Self::sorted(kernel_state(&sandbox.rtnl()))
    }

    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn sorted(mut lines: Vec<String>) -> Self {
        lines.sort();
        Self(lines)
    }
}

/// The links of a namespace, in the order of their indexes.
pub fn links(rtnl: &Rtnl) -> Vec<Link> {
    rtnl.links().unwrap()
}

fn kernel_state(rtnl: &Rtnl) -> Vec<String> {
    let mut lines = Vec::new();
    for link in links(rtnl) {
        lines.push(format!(
            "link {} {} {:02x?} mtu {} in {:?} up {}",
            link.name, link.kind, link.mac, link.mtu, link.controller, link.up
        ));
        // The link may be gone by now.
        if let Some(now) = link.settings().unwrap() {
            lines.push(format!(
                "link {} promisc {} allmulti {} queue {}",
                link.name, now.promiscuous, now.all_multicast, now.queue_length
            ));
        }
        for addr in link.addrs(None).unwrap() {
            if !comes_by_itself(addr.ip) {
                lines.push(format!("addr {} {}/{}", link.name, addr.ip, addr.prefix));
            }
        }
    }
    for family in [Family::V4, Family::V6] {
        for route in rtnl.routes(family).unwrap() {
            if !comes_by_itself(route.dst.0) {
                lines.push(format!("route {:?} via {:?}", route.dst, route.gw));
            }
        }
        for route in rtnl.stored_routes(family).unwrap() {
            let is_beside = ![254, 255].contains(&route.table());
            if is_beside && !comes_by_itself(route.dst().0) {
                let told = (route.table(), route.dst(), route.priority(), route.hops());
                lines.push(format!("route of another table {told:?}"));
            }
        }
        for rule in rtnl.rules(family).unwrap() {
            lines.push(format!("rule {rule:?}"));
        }
    }
    lines
}

/// Returns whether the kernel adds the address itself, some time after a link came up.
fn comes_by_itself(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}
