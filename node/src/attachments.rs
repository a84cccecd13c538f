//! The attachments that this node's engine has made, as the suite and the leases know them.

use std::collections::BTreeSet;
use std::path::Path;

use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::leases::holders;
use crate::suite;

/// Digits of a sandbox's id. If only the id is left of an attachment, its length identifies a sandbox.
const DIGITS: usize = 64;

/// The attachments at one time.
#[derive(Debug, Default)]
pub struct Attachments {
    /// Those that the engine's cache remembers.
    pub remembered: BTreeSet<AttachmentId>,
    /// Attachments that have an address or a port and are not remembered: their ADD is in progress, or was killed.
    pub unfinished: BTreeSet<AttachmentId>,
    /// Those in other networks, such as the one of the loopback interface, by the networks' names.
    pub elsewhere: BTreeSet<(String, AttachmentId)>,
}

/// Looks at the cache, the leases and the published ports.
pub fn look(linkspan: &Path, cache: &Path, leases: &Path, network: &str) -> Result<Attachments> {
    let ask = |what: &str| {
        let cache = format!("--cache-dir={}", cache.display());
        let args = [what, "--json", &cache];
        let told = suite::run(linkspan, &args)?;
        let words = format!("linkspan {what}: {}", String::from_utf8_lossy(&told.stderr));
        if !told.status.success() {
            return Err(Error::Settings(words.trim().to_owned()));
        }
        serde_json::from_slice::<Vec<Value>>(&told.stdout)
            .map_err(|err| Error::Settings(format!("linkspan {what}: {err}")))
    };
    // Leases appear before entries of the cache, so they are read first.
    let held = holders(leases, network);
    let ports = ask("ports")?;
    let listed = ask("list")?;
    Ok(sort(network, &listed, &ports, held))
}

fn sort(network: &str, listed: &[Value], ports: &[Value], held: Vec<AttachmentId>) -> Attachments {
    let of_network = |entry: &&Value| entry["network"] == network;
    let mut found = Attachments::default();
    let mut of_others = BTreeSet::new();
    for entry in listed {
        let (Some(id), Some(own)) = (id(entry), entry["network"].as_str()) else {
            continue;
        };
        // An engine with a CRI names the sandbox, and no other caller does.
        match entry["sandbox"] == entry["container"] {
            true if own == network => drop(found.remembered.insert(id)),
            true => drop(found.elsewhere.insert((own.to_owned(), id))),
            false if own == network => drop(of_others.insert(id)),
            false => {}
        }
    }
    let published = ports.iter().filter(of_network).filter_map(id);
    found.unfinished = held.into_iter().chain(published).collect();
    found.unfinished.retain(|id| {
        is_sandbox(&id.container_id) && !found.remembered.contains(id) && !of_others.contains(id)
    });
    found
}

fn id(entry: &Value) -> Option<AttachmentId> {
    Some(AttachmentId {
        container_id: ContainerId::parse(entry["container"].as_str()?).ok()?,
        ifname: IfName::parse(entry["interface"].as_str()?).ok()?,
    })
}

fn is_sandbox(id: &ContainerId) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.as_str().len() == DIGITS && id.as_str().bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attachments_of_other_callers_and_other_networks_are_left_out() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|digit| digit.repeat(DIGITS));
        let entry = |network: &str, container: &str, sandbox: Option<&str>| {
            json!({
                "network": network, "container": container, "interface": "eth0",
                "sandbox": sandbox,
            })
        };
        let listed = [
            entry("net", &a, Some(&a)),
            entry("other", &b, Some(&b)),
            // Made by hand, or by an engine without a CRI.
            entry("net", "cnitool-1", None),
            entry("net", &c, None),
        ];
        let ports = [entry("net", &d, None), entry("other", &b, None)];
        let held = ["run-1", &a, &c, &"e".repeat(DIGITS)];
        let held = held.map(|id| AttachmentId {
            container_id: ContainerId::parse(id).unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        });
        let found = sort("net", &listed, &ports, held.to_vec());
        let ids = |all: &BTreeSet<AttachmentId>| -> Vec<String> {
            all.iter().map(|id| id.container_id.to_string()).collect()
        };
        assert_eq!(ids(&found.remembered), [a]);
        assert_eq!(ids(&found.unfinished), [d, "e".repeat(DIGITS)]);
        let elsewhere = found.elsewhere.iter();
        let elsewhere: Vec<_> = elsewhere
            .map(|(network, id)| (&**network, id.container_id.as_str()))
            .collect();
        assert_eq!(elsewhere, [("other", &*b)]);
    }
}
