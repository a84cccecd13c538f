//! What the command lines are told of the plugins of this binary.

use std::net::SocketAddr;

use linkspan_protocol::schema::Schema;
use linkspan_runtime::Result;
use linkspan_runtime::holder::ReadTag;

/// The plugins that this binary is, as values and functions.
#[derive(Debug, Clone, Copy)]
pub struct Suite<'a> {
    /// The names under which it is one.
    pub names: &'a [&'a str],
    /// What the configuration of the plugin of a name may hold, where the plugin is one of the suite.
    pub schema: fn(&str) -> Option<Schema>,
    /// The ports that it publishes on this host.
    pub ports: fn() -> Result<Vec<Port>>,
    /// Removes all that it keeps in nf_tables; false where there is nothing.
    pub clear: fn() -> Result<bool>,
    /// What may be in the way of packets, by a plugin's name and what it would read on stdin; nothing where the plugin is
    /// none of the suite.
    pub warnings: fn(&str, &[u8]) -> Result<Vec<Warning>>,
    /// Whose an interface is, as its plugins have written beside it.
    pub read_tag: ReadTag,
}

/// A warning, as the suite tells it.
#[derive(Debug, Clone)]
pub struct Warning {
    /// One sentence.
    pub what: String,
    /// Commands that a person may remove the cause with.
    pub remedies: Vec<String>,
}

/// A published port, as the suite tells it.
#[derive(Debug, Clone)]
pub struct Port {
    /// Where it is kept.
    pub backend: &'static str,
    /// `tcp`, `udp` or `sctp`
    pub protocol: &'static str,
    /// The host's address and port; the unspecified address for all of the family.
    pub host: SocketAddr,
    /// Address and port of the container.
    pub container: SocketAddr,
    /// Network, container and interface; each is empty where it is not told.
    pub owner: [String; 3],
    /// Whether the owner is certainly gone; absent where nothing tells.
    pub gone: Option<bool>,
}
