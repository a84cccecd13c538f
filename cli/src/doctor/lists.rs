//! Checks of the configurations and of the plugins that they name.

use std::collections::BTreeSet;

use linkspan_invoke::find;
use linkspan_runtime::sentence;
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::node::Node;

/// Files that an engine refuses.
pub(super) fn broken(node: &Node<'_>, found: &mut Vec<Finding>) {
    for (path, failure) in &node.broken {
        let what = format!("{}: {}", path.display(), sentence(failure));
        let command = format!("linkspan validate {}", path.display());
        found.push(Finding::fail("list-broken", what).mend(command));
    }
}

/// A name that two files have. Engines use the first one.
pub(super) fn twice(node: &Node<'_>, found: &mut Vec<Finding>) {
    let mut earlier = node.lists.iter().enumerate();
    for (at, (path, list)) in earlier.by_ref() {
        let same = node
            .lists
            .iter()
            .take(at)
            .find(|(_, other)| other.name == list.name);
        if let Some((first, _)) = same {
            let what = format!(
                "{} has the name of {}, and is not used",
                path.display(),
                first.display()
            );
            let command = format!("rename the network in {}", path.display());
            found.push(
                Finding::fail("list-twice", what)
                    .of_network(&list.name)
                    .mend(command),
            );
        }
    }
}

/// The order of files: containerd and CRI-O use the first one of the directory.
pub(super) fn order(node: &Node<'_>, found: &mut Vec<Finding>) {
    let is_ours = |kind: &str| node.places.suite.names.contains(&kind);
    let ours = node
        .lists
        .iter()
        .find(|(_, list)| list.plugins.first().is_some_and(|one| is_ours(one.kind())));
    let first = node.lists.first();
    if let (Some((first, other)), Some((path, list))) = (first, ours)
        && first != path
    {
        let what = format!(
            "{} comes first, so an engine of Kubernetes uses its network {:?}",
            first.display(),
            other.name
        );
        let command = format!(
            "rename {} so that it comes first, or remove the other",
            path.display()
        );
        let note = Finding::new(Severity::Note, "list-order", what);
        found.push(note.of_network(&list.name).mend(command));
    }
}

/// Plugins that are missing, do not run, or do not speak the list's version.
pub(super) fn plugins(node: &Node<'_>, found: &mut Vec<Finding>) {
    let dirs = node.places.plugin_dirs;
    let dir = dirs
        .first()
        .map(|dir| dir.display().to_string())
        .unwrap_or_default();
    let mut engine = node.places.runtime.clone();
    engine.plugin_dirs = dirs.to_vec();
    for conf in node.networks() {
        let mut kinds = BTreeSet::new();
        for plugin in &conf.0.plugins {
            kinds.insert(plugin.kind());
            let ipam = plugin
                .keys
                .get("ipam")
                .and_then(|ipam| ipam.get("type")?.as_str());
            kinds.extend(ipam.filter(|kind| !kind.is_empty()));
        }
        for kind in kinds {
            let install = format!("linkspan install {dir}");
            if let Err(missing) = find(kind, dirs) {
                found.push(
                    Finding::fail("plugin-missing", missing.to_string())
                        .of_network(conf.name())
                        .mend(install),
                );
                continue;
            }
            match engine.versions(kind) {
                Err(failure) => {
                    let what = format!("{kind} does not answer: {}", sentence(&failure));
                    found.push(
                        Finding::fail("plugin-broken", what)
                            .of_network(conf.name())
                            .mend(install),
                    );
                }
                Ok(versions)
                    if !conf.0.version.is_empty() && !versions.contains(&conf.0.version) =>
                {
                    let what = format!(
                        "{kind} in {dir} does not speak {}, but {}",
                        conf.0.version,
                        versions.join(", ")
                    );
                    let command = format!("{install}, or drop {} from cniVersions", conf.0.version);
                    found.push(
                        Finding::fail("version-gap", what)
                            .of_network(conf.name())
                            .mend(command),
                    );
                }
                Ok(_) => {}
            }
        }
    }
}

/// A portmap that gets no ports from engines.
pub(super) fn ports_undeclared(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        let gets_none = |declared: Option<&bool>| declared != Some(&true);
        let mut portmaps = conf.0.plugins.iter().filter(|one| one.kind() == "portmap");
        let fixed = |keys: &serde_json::Map<String, Value>| keys.contains_key("runtimeConfig");
        if portmaps.any(|one| {
            gets_none(one.standard.capabilities.get("portMappings")) && !fixed(&one.keys)
        }) {
            let what = "portmap does not declare the capability, so no hostPort is published";
            let command = "add \"capabilities\": { \"portMappings\": true } to portmap";
            found.push(
                Finding::warn("ports-undeclared", what)
                    .of_network(conf.name())
                    .mend(command),
            );
        }
    }
}

/// Parents of pods' interfaces that are missing or down.
pub(super) fn masters(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        for plugin in &conf.0.plugins {
            let is_child = ["ipvlan", "macvlan", "vlan"].contains(&plugin.kind());
            let key = plugin.keys.get("master").and_then(Value::as_str);
            let in_pod = plugin.keys.get("linkInContainer") == Some(&Value::Bool(true));
            let Some(master) = key.filter(|name| is_child && !in_pod && !name.is_empty()) else {
                continue;
            };
            let fault = match node.link(master) {
                None => Finding::fail(
                    "master-missing",
                    format!(
                        "the host has no link {master}, on which {} is",
                        plugin.kind()
                    ),
                )
                .mend("set \"master\" to a link of `ip link`"),
                Some(link) if !link.up => {
                    Finding::fail("master-down", format!("the link {master} is down"))
                        .mend(format!("ip link set {master} up"))
                }
                Some(_) => continue,
            };
            found.push(fault.of_network(conf.name()));
        }
    }
}
