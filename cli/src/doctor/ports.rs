//! Checks of published ports and of what else attachments have in the packet filter.

use std::collections::BTreeSet;

use linkspan_runtime::Result;
use linkspan_runtime::conflist::PluginConf;
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::node::{Node, Pod};
use crate::listeners;

/// The number of attachments of each network that are compared by CHECK: a flush of the packet filter hits all of them.
const SAMPLE: usize = 3;

/// The command in CHECK's hint for removed state.
const RESTORE: &str = "linkspan restore";

/// State of living attachments in the packet filter that others removed.
pub(super) fn lost(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for conf in node.networks() {
        for pod in node.pods_of(conf.name()).take(SAMPLE) {
            let checked = node
                .places
                .runtime
                .check(&pod.entry.network()?, &pod.entry.attachment()?);
            let Err(failure) = checked else {
                continue;
            };
            if failure.to_wire().details.contains(RESTORE) {
                let command = format!("{RESTORE} {}", conf.name());
                found.push(
                    Finding::fail("rules-gone", failure.message())
                        .of_pod(pod)
                        .mend(command),
                );
                break;
            }
        }
    }
    Ok(())
}

/// Ports that a living attachment asked for, and that nobody has.
pub(super) fn gone(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    let asked = |pod: &Pod| pod.entry.capability_args.contains_key("portMappings");
    if !node.pods.iter().any(asked) {
        return Ok(());
    }
    let published = node.ports()?;
    let published: BTreeSet<(&str, &str, u16)> = published
        .iter()
        .map(|port| (port.owner[1].as_str(), port.protocol, port.host.port()))
        .collect();
    for pod in &node.pods {
        let declares = |one: &PluginConf| {
            one.kind() == "portmap" && one.standard.capabilities.get("portMappings") == Some(&true)
        };
        if !pod.entry.network()?.plugins.iter().any(declares) {
            continue;
        }
        let mappings = pod
            .entry
            .capability_args
            .get("portMappings")
            .and_then(Value::as_array);
        for mapping in mappings.into_iter().flatten() {
            let Some(number) = mapping
                .get("hostPort")
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok())
            else {
                continue;
            };
            let protocol = mapping
                .get("protocol")
                .and_then(Value::as_str)
                .unwrap_or("tcp")
                .to_lowercase();
            let key = (pod.entry.container_id.as_str(), protocol.as_str(), number);
            if number > 0 && !published.contains(&key) {
                let command = format!("{RESTORE} {}", pod.entry.network_name);
                let what = format!("the port {number}/{protocol} is not published");
                found.push(Finding::fail("port-gone", what).of_pod(pod).mend(command));
            }
        }
    }
    Ok(())
}

/// Ports of attachments that are gone.
pub(super) fn stale(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for port in node.ports()?.iter().filter(|port| port.gone == Some(true)) {
        let [network, container, _] = &port.owner;
        let what = format!(
            "the port {}/{} leads to container {container}, which is gone",
            port.host, port.protocol
        );
        let fault = Finding::warn("stale-element", what).of_network(network);
        found.push(fault.mend(format!("linkspan gc {network}")));
    }
    Ok(())
}

/// Processes of the host that listen on published ports, and get none of their packets.
pub(super) fn shadowed(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    let ports = node.ports()?;
    let mut told = BTreeSet::new();
    for (port, listeners) in ports.iter().zip(listeners::of(ports)?) {
        for listener in listeners {
            let number = port.host.port();
            if !told.insert((listener.address, port.protocol)) {
                continue;
            }
            let by = match &listener.process {
                Some(process) => format!("{} (pid {})", process.command, process.pid),
                None => "a process that cannot be seen from here".to_owned(),
            };
            let what = format!(
                "{by} listens on the published port {number}/{}, and the container gets its packets",
                port.protocol
            );
            let note =
                Finding::new(Severity::Warn, "port-shadowed", what).of_network(&port.owner[0]);
            found.push(note.mend("give one of them another port"));
        }
    }
    Ok(())
}
