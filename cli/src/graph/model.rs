//! A node as a picture has it: the host's links, the pods on them, addresses, routes and published ports.

use serde::Serialize;

/// A node.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// The links of the host, each behind the one that it is on.
    pub(crate) links: Vec<HostLink>,
    /// The pods, by name.
    pub(crate) pods: Vec<Pod>,
    /// Ports that are published for somebody else than these pods.
    pub(crate) ports: Vec<Published>,
}

/// A link of the host.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostLink {
    pub(crate) name: String,
    /// Its kind in the kernel's words, or `device`.
    pub(crate) kind: String,
    pub(crate) up: bool,
    pub(crate) addresses: Vec<String>,
    /// The link that it is on: its bridge, or its parent.
    pub(crate) on: Option<String>,
    /// The number of links below it.
    pub(crate) depth: usize,
    pub(crate) routes: Vec<Route>,
}

/// A pod, or another container.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pod {
    /// Its name for people.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(rename = "pod")]
    pub(crate) kubernetes_name: Option<String>,
    #[serde(rename = "podNamespace")]
    pub(crate) kubernetes_namespace: Option<String>,
    pub(crate) container: String,
    pub(crate) netns: String,
    /// `alive`, `gone` or `unknown`.
    pub(crate) state: String,
    pub(crate) interfaces: Vec<Interface>,
}

/// The interface of an attachment.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Interface {
    #[serde(rename = "interface")]
    pub(crate) name: String,
    pub(crate) network: String,
    /// Its kind in the kernel's words, or `device`; empty where the namespace cannot be read.
    pub(crate) kind: String,
    pub(crate) addresses: Vec<String>,
    /// The host's link that it is on.
    pub(crate) on: Option<String>,
    /// The VRF of the pod that has it.
    pub(crate) vrf: Option<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) ports: Vec<Published>,
}

/// The routes of one table through an interface.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    #[serde(rename = "table")]
    pub(crate) number: u32,
    /// The packets that look it up; none for the main table.
    pub(crate) rules: Vec<String>,
    pub(crate) routes: Vec<Route>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    /// `default`, or the destination with the length of its prefix.
    pub(crate) dst: String,
    pub(crate) via: Option<String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Published {
    pub(crate) host_port: u16,
    pub(crate) protocol: String,
    /// The address of the host, unless every one leads there.
    #[serde(rename = "hostIP")]
    pub(crate) host_ip: Option<String>,
    pub(crate) container_port: u16,
}

impl Node {
    /// The place of a link of the host among those that are drawn.
    pub(crate) fn place(&self, name: Option<&String>) -> Option<usize> {
        let mut links = self.links.iter();
        links.position(|link| Some(&link.name) == name)
    }
}

impl Published {
    /// The port on the host, such as `8080/tcp`.
    pub(crate) fn on_host(&self) -> String {
        let Self {
            host_port,
            protocol,
            ..
        } = self;
        match &self.host_ip {
            Some(ip) if ip.contains(':') => format!("[{ip}]:{host_port}/{protocol}"),
            Some(ip) => format!("{ip}:{host_port}/{protocol}"),
            None => format!("{host_port}/{protocol}"),
        }
    }
}

impl Interface {
    /// Its kind and its network, in words.
    pub(crate) fn about(&self) -> String {
        let kind = match self.kind.as_str() {
            "" => String::new(),
            kind => format!("{kind}, "),
        };
        let vrf = self.vrf.as_ref().map(|vrf| format!(", VRF {vrf}"));
        format!("{kind}network {}{}", self.network, vrf.unwrap_or_default())
    }
}

impl HostLink {
    /// Its kind, in words.
    pub(crate) fn about(&self) -> String {
        let on = self.on.as_ref().map(|on| format!(" on {on}"));
        let down = if self.up { "" } else { ", down" };
        format!("{}{}{down}", self.kind, on.unwrap_or_default())
    }
}
