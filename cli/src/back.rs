//! `linkspan back`: the changes that are needed before the plugins of another suite, such as the Go plugins, take over
//! a node.

use std::io::Write;
use std::path::Path;

use linkspan_owner::life::Life;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::{NetworkList, PluginConf, keys_of};
use linkspan_runtime::{confdir, sentence};
use serde_json::{Value, json};

use crate::attachments::all;
use crate::end::{Ended, NO};
use crate::output;

/// The values of keys that keep an attachment out of our table.
const IPTABLES: &str = "iptables";

/// Prints a line for each list that the other plugins do not speak, and for each attachment that they could not detach.
/// The exit status is 1 where there is one.
pub(crate) fn run(out: &mut dyn Write, net_dir: &Path, other: &Runtime, as_json: bool) -> Ended {
    let mut rows = Vec::new();
    for (path, list) in confdir::each(net_dir)? {
        if let Ok(list) = list {
            rows.extend(of_list(&path, &list, other));
        }
    }
    rows.extend(of_attachments(&other.cache)?);
    if as_json {
        output::rows(out, &rows)?;
    } else {
        for row in &rows {
            let word = |key| row.get(key).and_then(Value::as_str).unwrap_or_default();
            output::text(
                out,
                &format!("{}: {} -> {}\n", word("of"), word("what"), word("command")),
            )?;
        }
    }
    Ok(if rows.is_empty() { 0 } else { NO })
}

fn row(of: &str, what: &str, command: &str) -> Value {
    json!({ "of": of, "what": what, "command": command })
}

/// The plugins of a list that the other suite lacks, or that lack its version.
fn of_list(path: &Path, list: &NetworkList, other: &Runtime) -> Vec<Value> {
    let file = path.display().to_string();
    let mut rows = Vec::new();
    for plugin in &list.plugins {
        let ipam = plugin.standard.ipam.kind.as_str();
        for kind in [plugin.kind(), ipam]
            .into_iter()
            .filter(|kind| !kind.is_empty())
        {
            let versions = match other.versions(kind) {
                Ok(versions) => versions,
                Err(failure) => {
                    rows.push(row(
                        &file,
                        &sentence(&failure),
                        "take the plugin out of the list",
                    ));
                    continue;
                }
            };
            if !list.version.is_empty() && !versions.contains(&list.version) {
                let (what, command) = (
                    format!(
                        "the other {kind} does not speak {}, but {}",
                        list.version,
                        versions.join(", ")
                    ),
                    version_change(list, &versions),
                );
                rows.push(row(&file, &what, &command));
            }
        }
    }
    rows
}

/// The change of a list that makes its version known to the other plugins.
fn version_change(list: &NetworkList, versions: &[String]) -> String {
    let keys = keys_of(&list.raw).unwrap_or_default();
    let named = keys.get("cniVersions").and_then(Value::as_array);
    let named: Vec<&str> = named
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let spoken = |version: &&str| versions.iter().any(|one| one == version);
    let unspoken: Vec<&str> = named
        .iter()
        .copied()
        .filter(|version| !spoken(version))
        .collect();
    let last = versions.last().map_or("1.0.0", String::as_str);
    if unspoken.is_empty() || !named.iter().any(spoken) {
        return format!("set \"cniVersion\": \"{last}\", without cniVersions");
    }
    format!("take {} out of cniVersions", unspoken.join(", "))
}

/// Living attachments with state in our table, or of plugins that only this suite has.
fn of_attachments(cache: &Cache) -> linkspan_runtime::Result<Vec<Value>> {
    let (every, _unreadable) = all(cache)?;
    let mut rows = Vec::new();
    for one in every.iter().filter(|one| one.life != Life::Gone) {
        let has_ports = one.entry.capability_args.get("portMappings");
        let has_ports = has_ports
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty());
        let is_kept = match one.entry.network() {
            Ok(list) => list
                .plugins
                .iter()
                .any(|plugin| is_in_table(plugin, has_ports)),
            Err(_unknown) => true,
        };
        if is_kept {
            let what = "it has rules that only these plugins remove";
            let (id, network) = (&one.entry.container_id, &one.entry.network_name);
            let command = format!("stop the container, or linkspan del {id} --net {network}");
            rows.push(row(&one.describe(), what, &command));
        }
    }
    Ok(rows)
}

/// Returns whether an attachment has elements of this plugin in our table.
fn is_in_table(plugin: &PluginConf, has_ports: bool) -> bool {
    let text = |key: &str| plugin.keys.get(key).and_then(Value::as_str);
    let masks = plugin.keys.get("ipMasq") == Some(&Value::Bool(true));
    match plugin.kind() {
        "portmap" => has_ports && text("backend") != Some(IPTABLES),
        "bridge" | "ptp" | "veth" => masks && text("ipMasqBackend") != Some(IPTABLES),
        "firewall" => text("backend") != Some(IPTABLES),
        _ => false,
    }
}
