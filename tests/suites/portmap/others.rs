//! All other publishers of ports: the Go suite with either backend, and ours with either kind of iptables.

use std::net::SocketAddr;

use linkspan_harness::lab::{Lab, go_plugins};
use linkspan_harness::skip;
use linkspan_harness::tool::{nft, older_iptables};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::Pod;
use crate::swap::go_pod;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A publisher outside of our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other {
    /// The Go suite.
    Go { legacy: bool },
    /// Our plugin, with the backend `iptables`.
    Ours { legacy: bool },
    /// The nft backend of a newer Go suite.
    NewerGo,
}

pub(crate) const OTHERS: [Other; 5] = [
    Other::Go { legacy: false },
    Other::Go { legacy: true },
    Other::Ours { legacy: false },
    Other::Ours { legacy: true },
    Other::NewerGo,
];

impl Other {
    pub(crate) fn backend(self) -> &'static str {
        match self {
            Self::Go { legacy: false } | Self::Ours { legacy: false } => "iptables",
            Self::Go { legacy: true } | Self::Ours { legacy: true } => "iptables-legacy",
            Self::NewerGo => "go-nftables",
        }
    }

    /// The network in its rules for a pod of `net`.
    pub(crate) fn network(self) -> &'static str {
        if self == Self::NewerGo { "" } else { "net" }
    }

    /// A pod whose ports it publishes; `None`, with a line, if its programs are missing.
    pub(crate) fn publish(self, lab: &Lab, id: &str, mappings: &Value) -> Option<Pod> {
        match self {
            Self::Go { legacy } => {
                let go = go_plugins("native ports beside those of the Go suite")?;
                let path = path(lab, legacy)?;
                // Our plugin makes the bridge, so that its IPv6 address is usable from the start.
                Pod::attach(lab, "first-of-all", &json!([]))
                    .bridge(lab)
                    .del();
                Some(go_pod(lab, (go, &path, "bridge"), id, mappings))
            }
            Self::Ours { legacy } => {
                let path = path(lab, legacy)?;
                let mut pod = Pod::attach(lab, id, mappings);
                pod.portmap["backend"] = json!("iptables");
                let lock = lab.dir().join("xtables.lock");
                let call = pod.portmap(lab).env("PATH", &path);
                call.env("XTABLES_LOCKFILE", lock.to_str().unwrap()).add();
                pod.portmap.as_object_mut().unwrap().remove("backend");
                Some(pod)
            }
            Self::NewerGo => {
                skip::without("nft")?;
                let pod = Pod::attach(lab, id, mappings);
                nft(&[&newer_go(&pod, mappings)]);
                Some(pod)
            }
        }
    }
}

/// The PATH with the iptables of that packet filter.
pub(crate) fn path(lab: &Lab, legacy: bool) -> Option<String> {
    skip::without("iptables-restore")?;
    if !legacy {
        return Some(PATH.to_owned());
    }
    let made = lab.dir().join("older");
    if made.exists() {
        return Some(made.to_string_lossy().into_owned());
    }
    older_iptables(lab)
}

/// The rules of the Go suite's version 1.9 for a pod.
fn newer_go(pod: &Pod, mappings: &Value) -> String {
    let of = |family: Family| {
        let word = family.pick("ip", "ip6");
        let mut rules = Vec::new();
        for mapping in mappings.as_array().unwrap() {
            let daddr = match mapping["hostIP"].as_str() {
                Some(one) if one.contains(':') != (family == Family::V6) => continue,
                Some(one) if one != "0.0.0.0" => format!("{word} daddr {one} "),
                _ => String::new(),
            };
            let (protocol, port) = (mapping["protocol"].as_str().unwrap(), &mapping["hostPort"]);
            let to = SocketAddr::new(pod.ip(family), 80);
            let id = &pod.id;
            rules.push(format!(
                "{daddr}{protocol} dport {port} dnat to {to} comment \"{id}\""
            ));
        }
        let rules = rules.join("\n");
        format!(
            "table {word} cni_hostport {{
                chain hostip_hostports {{
                }}
                chain hostports {{
                    {rules}
                }}
            }}"
        )
    };
    Family::BOTH.map(of).join("\n")
}
