//! The remembered attachments: their names for people and on a command line, and whether they live.

mod word;

use std::net::IpAddr;

use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{ContainerId, IfName, NetworkName};
use linkspan_protocol::result::AddResult;
use linkspan_protocol::wire;
use linkspan_runtime::Result;
use linkspan_runtime::cache::{Cache, Entry, Listing};
use linkspan_runtime::chain::reparse;
use linkspan_runtime::lives::Lives;
use serde_json::{Value, json};

pub(crate) use word::{Wanted, find, find_all};

/// The length of an id in tables, as in those of container engines.
const SHORT: usize = 12;

/// A remembered attachment.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub(crate) entry: Entry,
    pub(crate) life: Life,
    /// Empty where the result cannot be decoded.
    pub(crate) result: AddResult,
}

/// A pod of Kubernetes, by its namespace and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Every remembered attachment, and a failure for each file that is not one.
pub(crate) fn all(cache: &Cache) -> Result<(Vec<Attached>, Vec<Failure>)> {
    let Listing {
        entries,
        unreadable,
    } = cache.all()?;
    let lives = Lives::now(cache);
    let attached = entries.into_iter().map(|entry| Attached {
        life: lives.of(&entry),
        result: result(&entry),
        entry,
    });
    let failures = unreadable.into_iter().map(|path| {
        let told = format!("{} is not a remembered attachment", path.display());
        Failure::new(ErrorCode::DECODING, told).hint("remove the file if it is not needed")
    });
    Ok((attached.collect(), failures.collect()))
}

/// The pod of a container of a network, by the cache.
pub(crate) fn pod_of(all: &[Attached], network: &str, container: &str) -> Option<Pod> {
    let is_it = |one: &&Attached| {
        (&*one.entry.network_name, &*one.entry.container_id) == (network, container)
    };
    all.iter().find(is_it).and_then(Attached::pod)
}

fn result(entry: &Entry) -> AddResult {
    let decoded = entry
        .result
        .as_ref()
        .and_then(|result| wire::decode(&reparse(result).ok()?, "").ok());
    decoded.map(|(result, _)| result).unwrap_or_default()
}

impl Attached {
    /// The pod, where Kubernetes named one.
    pub(crate) fn pod(&self) -> Option<Pod> {
        let arg = |wanted| {
            let value = self.arguments(wanted).find(|value| !value.is_empty())?;
            Some(value.to_owned())
        };
        Some(Pod {
            name: arg("K8S_POD_NAME")?,
            namespace: arg("K8S_POD_NAMESPACE").unwrap_or_default(),
        })
    }

    /// The sandbox, as an engine with a CRI names it.
    pub(crate) fn sandbox(&self) -> Option<&str> {
        self.arguments("K8S_POD_INFRA_CONTAINER_ID").next()
    }

    /// The values that ADD got for `wanted` in `CNI_ARGS`. Other arguments may be secrets.
    fn arguments(&self, wanted: &str) -> impl Iterator<Item = &str> {
        let args = self.entry.cni_args.iter();
        let of = args.filter(move |(key, _)| key == wanted);
        of.map(|(_, value)| value.as_str())
    }

    /// The name for people: the pod's, or else the namespace's.
    pub(crate) fn name(&self) -> String {
        let namespace = || {
            let name = self.entry.netns.rsplit('/').next().unwrap_or_default();
            let is_named = self.entry.netns.contains("/netns/") && !name.is_empty();
            if is_named { name } else { "-" }.to_owned()
        };
        self.pod().map_or_else(namespace, |pod| pod.text())
    }

    pub(crate) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.result.ips.iter().map(|ip| ip.address.ip())
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        let ips = self.result.ips.iter();
        ips.map(|ip| ip.address.to_string()).collect()
    }

    /// The keys that every command prints for an attachment.
    pub(crate) fn json(&self) -> Value {
        let pod = self.pod();
        json!({
            "network": self.entry.network_name,
            "container": self.entry.container_id,
            "interface": self.entry.if_name,
            "pod": pod.as_ref().map(|pod| &pod.name),
            "podNamespace": pod.as_ref().map(|pod| &pod.namespace),
            "netns": self.entry.netns,
            "state": state(self.life),
        })
    }

    /// The attachment in words, with the command that detaches it.
    pub(crate) fn describe(&self) -> String {
        let Entry {
            network_name,
            container_id,
            if_name,
            ..
        } = &self.entry;
        let name = self.name();
        format!("{if_name} of container {container_id} ({name}) in the network {network_name}")
    }

    /// The reason why life cannot be judged, with a command that helps; `None` where it can.
    pub(crate) fn doubt(&self) -> Option<String> {
        (self.life == Life::Unknown).then(|| {
            let Entry {
                network_name,
                container_id,
                if_name,
                netns,
                ..
            } = &self.entry;
            let why = if netns.is_empty() {
                "neither the cache nor the result names its namespace".to_owned()
            } else {
                format!("nothing at {netns} can be examined from here")
            };
            // The parts of an entry become words of a command only where they are plain.
            let is_plain = NetworkName::parse(network_name).is_ok()
                && ContainerId::parse(container_id).is_ok()
                && IfName::parse(if_name).is_ok();
            let help = if netns.is_empty() && is_plain {
                format!("ask the engine, and if the container is gone: linkspan del {container_id} --net {network_name} --ifname {if_name}")
            } else {
                "run this as root in the host's process namespace: nsenter -t 1 -p -m linkspan list".to_owned()
            };
            format!("{if_name} of container {container_id}: {why} -> {help}")
        })
    }
}

impl Pod {
    /// `NAMESPACE/NAME`
    pub(crate) fn text(&self) -> String {
        match self.namespace.as_str() {
            "" => self.name.clone(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }
}

/// The word for a verdict.
pub(crate) fn state(life: Life) -> &'static str {
    match life {
        Life::Alive => "alive",
        Life::Gone => "gone",
        Life::Unknown => "unknown",
    }
}

/// An id as tables print it.
pub(crate) fn short(id: &str, is_whole: bool) -> String {
    if is_whole {
        return id.to_owned();
    }
    id.chars().take(SHORT).collect()
}
