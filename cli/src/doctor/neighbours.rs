//! Checks for other stations with a pod's address.

use std::time::Duration;

use linkspan_netlink::holders::holders;
use linkspan_netlink::link::Link;
use linkspan_protocol::addr::MacAddr;
use linkspan_runtime::Result;

use super::finding::Finding;
use super::node::{Node, Pod};
use crate::addressing::Conf;

/// Time to wait for answers. Those of one machine come at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// Addresses of pods for which the kernel has learned another hardware address.
pub(super) fn learned(node: &Node<'_>, found: &mut Vec<Finding>) {
    for (pod, own, bridge) in on_bridges(node) {
        for ip in pod.result.ips.iter().map(|ip| ip.address.ip()) {
            let mut known = node.neighbours.iter();
            let other = known.find(|one| {
                (one.ip, one.link) == (ip, bridge.index)
                    && one.mac.is_some_and(|mac| mac != own.mac)
            });
            if let Some(mac) = other.and_then(|one| one.mac) {
                found.push(duplicate(pod, &ip.to_string(), mac, bridge));
            }
        }
    }
}

/// With `--probe`: asks on each bridge for the holders of the pods' IPv4 addresses.
pub(super) fn probed(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    if !node.places.probes {
        return Ok(());
    }
    for (pod, own, bridge) in on_bridges(node) {
        for ip in pod.result.ips.iter().map(|ip| ip.address.ip()) {
            if ip.is_ipv6() {
                continue;
            }
            let name = &bridge.name;
            let answers = holders(name, bridge.mac, &[ip], PATIENCE)
                .map_err(linkspan_runtime::io(format!("ask for {ip} on {name}")))?;
            let others = answers.iter().filter(|(_, mac)| *mac != own.mac);
            found.extend(others.map(|(_, mac)| duplicate(pod, &ip.to_string(), *mac, bridge)));
            if answers.is_empty() {
                let what = format!("nobody answers for {ip} on {}", bridge.name);
                let command = format!("linkspan doctor {}", pod.entry.container_id);
                found.push(Finding::warn("no-answer", what).of_pod(pod).mend(command));
            }
        }
    }
    Ok(())
}

fn duplicate(pod: &Pod, ip: &str, mac: [u8; 6], bridge: &Link) -> Finding {
    let mac = MacAddr(mac);
    let what = format!("{mac} answers for {ip}, and it is not the pod's");
    let command = format!("bridge fdb show br {} | grep -i {mac}", bridge.name);
    let fault = Finding::fail("duplicate-address", what);
    fault.of_pod(pod).mend(command)
}

/// The pods behind bridges, each with its link and the bridge.
fn on_bridges<'a>(node: &'a Node<'_>) -> impl Iterator<Item = (&'a Pod, &'a Link, &'a Link)> {
    node.pods.iter().filter_map(|pod| {
        let (own, _) = pod.inside.as_ref()?.link(&pod.entry.if_name)?;
        let (name, _) = node
            .network(&pod.entry.network_name)
            .and_then(Conf::bridge)?;
        Some((pod, own, node.link(name)?))
    })
}
