//! Checks of published ports, and of other state of attachments in the packet filter.

use std::collections::BTreeSet;
use std::fs;

use linkspan_runtime::conflist::PluginConf;
use linkspan_runtime::{Result, sentence};
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::node::{Node, Pod};
use super::surroundings::STORE_LOCKED;
use crate::listeners;
use crate::warnings::{self, RESTORE};

/// The number of attachments per network that CHECK compares. A flush of the packet filter affects all of them.
const SAMPLE: usize = 3;

/// The rules of nftables.service.
const NFTABLES: &str = "/etc/nftables.conf";

/// State of living attachments in the packet filter that others removed.
pub(super) fn lost(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    let (mut is_lost, mut unlike) = (false, Vec::new());
    for conf in node.networks() {
        let of_network = |one: &Finding| one.network.as_deref() == Some(conf.name());
        if found
            .iter()
            .any(|one| one.id == STORE_LOCKED && of_network(one))
        {
            // CHECK would wait for the lock, too.
            continue;
        }
        for pod in node.pods_of(conf.name()).take(SAMPLE) {
            let checked = node
                .places
                .runtime
                .check(&pod.entry.network()?, &pod.entry.attachment()?);
            let Err(failure) = checked else {
                continue;
            };
            if warnings::is_lost(&failure) {
                let message = failure.message();
                let id = if message.contains("masquerade") {
                    "masquerade-gone"
                } else {
                    "rules-gone"
                };
                let command = format!("{RESTORE} {}", conf.name());
                found.push(Finding::fail(id, message).of_pod(pod).mend(command));
                is_lost = true;
                break;
            }
            unlike.push((pod, failure));
        }
    }
    if is_lost {
        flushes(found);
    }
    // Reports other differences if no check has found their cause.
    for (pod, failure) in unlike {
        let (id, network) = (&pod.entry.container_id, &pod.entry.network_name);
        let is_cause = |one: &Finding| {
            let of_pod = one.container.as_ref() == Some(id);
            let is_shared = one.container.is_none() && one.severity == Severity::Fail;
            of_pod || (is_shared && one.network.as_ref().is_none_or(|own| own == network))
        };
        if !found.iter().any(is_cause) {
            let fault = Finding::fail("unlike-result", sentence(&failure)).of_pod(pod);
            found.push(fault.mend("restart the pod"));
        }
    }
    Ok(())
}

/// The configuration of nftables.service, if it flushes all rules.
fn flushes(found: &mut Vec<Finding>) {
    let text = fs::read_to_string(NFTABLES).unwrap_or_default();
    if text.lines().any(|line| line.trim() == "flush ruleset") {
        let what =
            format!("{NFTABLES} flushes the rules of everybody when nftables.service starts");
        let note = Finding::new(Severity::Note, "flush-ruleset", what);
        found.push(note.mend(format!("drop `flush ruleset` from {NFTABLES}")));
    }
}

/// Ports whose packets another rule of the host redirects.
pub(super) fn stolen(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    if node.pods.is_empty() {
        return Ok(());
    }
    for port in (node.places.suite.stolen)()? {
        let what = format!(
            "{} sends packets to the port {} to {}",
            port.by, port.port, port.to
        );
        let fault = Finding::fail("port-stolen", what).of_network(&port.network);
        found.push(fault.mend("remove that rule, or give the pod another port"));
    }
    Ok(())
}

/// Ports that a living attachment requested, and that are not published.
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

/// Processes of the host that listen on published ports, and so get no packets.
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
