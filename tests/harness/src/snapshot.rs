//! What a namespace looks like, as lines that can be compared.

use std::fs;

use linkspan_netlink::link::Link;
use linkspan_netlink::rtnl::Rtnl;

use crate::lab::{Lab, Sandbox};

/// Links, addresses and routes of a namespace, sorted; readable when two of them differ.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(Vec<String>);

impl Snapshot {
    /// The host: its links, its leases.
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
        for addr in link.addrs(None).unwrap() {
            lines.push(format!("addr {} {}/{}", link.name, addr.ip, addr.prefix));
        }
    }
    lines
}
