//! Checks of attachments: namespace, interface, addresses, routes and the host's end, against the result of ADD.

use linkspan_netlink::link::Link;
use linkspan_protocol::result::Interface;

use super::finding::Finding;
use super::node::{Inside, Node, Pod};
use crate::addressing::Conf;

/// Attachments whose namespace is gone, but which keep addresses and ports.
pub(super) fn gone(node: &Node<'_>, found: &mut Vec<Finding>) {
    for entry in &node.gone {
        let what = format!("the namespace of container {} is gone", entry.container_id);
        let mut fault = Finding::warn("namespace-gone", what).of_network(&entry.network_name);
        fault.container = Some(entry.container_id.clone());
        found.push(fault.mend(format!("linkspan gc {}", entry.network_name)));
    }
}

/// Interfaces of pods that are missing, down, or without their addresses.
pub(super) fn interface(node: &Node<'_>, found: &mut Vec<Finding>) {
    for (pod, inside) in entered(node) {
        let name = &pod.entry.if_name;
        let fault = match inside.link(name) {
            None => Finding::fail("interface-gone", format!("the pod has no interface {name}"))
                .mend("restart the pod"),
            Some((link, _)) if !link.up => {
                let command = format!("nsenter --net={} ip link set {name} up", pod.entry.netns);
                Finding::fail("interface-down", format!("{name} of the pod is down")).mend(command)
            }
            Some(_) => {
                let here = |ip| inside.links.iter().any(|(_, ips)| ips.contains(&ip));
                let ips = pod.result.ips.iter().map(|ip| ip.address.ip());
                for ip in ips.filter(|ip| !here(*ip)) {
                    let what = format!("{name} of the pod lacks its address {ip}");
                    found.push(
                        Finding::fail("address-gone", what)
                            .of_pod(pod)
                            .mend("restart the pod"),
                    );
                }
                continue;
            }
        };
        found.push(fault.of_pod(pod));
    }
}

/// Pods that lost a default route.
pub(super) fn route(node: &Node<'_>, found: &mut Vec<Finding>) {
    for (pod, inside) in entered(node) {
        for route in pod
            .result
            .routes
            .iter()
            .filter(|route| route.dst.is_default())
        {
            let is_four = route.dst.ip().is_ipv4();
            let of_ips = pod.result.ips.iter().filter_map(|ip| ip.gateway);
            let mut gateways = route
                .gw
                .into_iter()
                .chain(of_ips)
                .filter(|gateway| gateway.is_ipv4() == is_four)
                .peekable();
            let Some(first) = gateways.peek().copied() else {
                continue;
            };
            if !gateways.any(|gateway| inside.gateways.contains(&gateway)) {
                let what = format!("the pod has no default route by {first}");
                let command = format!(
                    "nsenter --net={} ip route add default via {first}",
                    pod.entry.netns
                );
                found.push(Finding::fail("pod-route", what).of_pod(pod).mend(command));
            }
        }
    }
}

/// The host's ends of pairs that are missing, down, or not ports of the bridge.
pub(super) fn host_end(node: &Node<'_>, found: &mut Vec<Finding>) {
    for pod in &node.pods {
        let bridge = node.network(&pod.entry.network_name).and_then(Conf::bridge);
        let bridge = bridge.and_then(|(name, _)| node.link(name));
        for name in host_ends(pod) {
            let fault = match node.link(name) {
                None => Finding::fail("host-end", format!("the host's end {name} is missing"))
                    .mend("restart the pod"),
                Some(link) if !link.up => {
                    Finding::fail("host-end", format!("the host's end {name} is down"))
                        .mend(format!("ip link set {name} up"))
                }
                Some(link) => match bridge {
                    Some(bridge)
                        if link.kind == "veth" && link.controller != Some(bridge.index) =>
                    {
                        let what =
                            format!("the host's end {name} is not a port of {}", bridge.name);
                        Finding::fail("host-end", what)
                            .mend(format!("ip link set {name} master {} up", bridge.name))
                    }
                    Some(bridge) if link.forwarding == Some(false) => {
                        let what = format!("the spanning tree lets no frames of {name} pass yet");
                        let command = format!(
                            "ip link set {} type bridge stp_state 0; ip link set {name} down; ip link set {name} up",
                            bridge.name
                        );
                        Finding::warn("host-end", what).mend(command)
                    }
                    _ => continue,
                },
            };
            found.push(fault.of_pod(pod));
        }
    }
}

/// Pods whose MTU is larger than that of a link on the path.
pub(super) fn mtu(node: &Node<'_>, found: &mut Vec<Finding>) {
    let defaults = node.routes.iter().filter(|route| route.dst.1 == 0);
    let uplinks: Vec<&Link> = defaults
        .filter_map(|route| node.links.iter().find(|link| Some(link.index) == route.oif))
        .collect();
    let uplink = uplinks.iter().min_by_key(|link| link.mtu);
    for (pod, inside) in entered(node) {
        let (Some(conf), Some((own, _))) = (
            node.network(&pod.entry.network_name),
            inside.link(&pod.entry.if_name),
        ) else {
            continue;
        };
        let ends = host_ends(pod).filter_map(|name| node.link(name));
        let bridge = conf.bridge().and_then(|(name, _)| node.link(name));
        let uplink = uplink.copied().filter(|_| conf.is_routed());
        let narrow = ends
            .chain(bridge)
            .chain(uplink)
            .filter(|link| link.mtu < own.mtu);
        if let Some(link) = narrow.min_by_key(|link| link.mtu) {
            let what = format!(
                "the pod sends packets of {} bytes, and {} takes {}",
                own.mtu, link.name, link.mtu
            );
            let command = format!(
                "set \"mtu\": {} in the network, and restart the pod",
                link.mtu
            );
            found.push(Finding::warn("mtu", what).of_pod(pod).mend(command));
        }
    }
}

/// The pods whose namespaces could be entered.
fn entered<'a>(node: &'a Node<'_>) -> impl Iterator<Item = (&'a Pod, &'a Inside)> {
    node.pods
        .iter()
        .filter_map(|pod| Some((pod, pod.inside.as_ref()?)))
}

/// The names of the host's ends in a result. A bridge is among them; other checks examine it.
pub(super) fn host_ends(pod: &Pod) -> impl Iterator<Item = &str> {
    let of_host = pod
        .result
        .interfaces
        .iter()
        .filter(|one| one.sandbox.is_empty());
    let names = of_host.map(|Interface { name, .. }| name.as_str());
    names.filter(|name| name.starts_with("veth"))
}
