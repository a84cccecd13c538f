//! The command lines' view of the plugins of this binary.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use linkspan_protocol::ident::{AttachmentId, NetworkName};
use linkspan_protocol::schema::Schema;
use linkspan_runtime::Result;
use linkspan_runtime::holder::ReadTag;

/// The plugins in this binary, as values and functions.
#[derive(Debug, Clone, Copy)]
pub struct Suite<'a> {
    /// The file names of the plugins.
    pub names: &'a [&'a str],
    /// The schema of a plugin's configuration, by the plugin's name; `None` for a plugin of another suite.
    pub schema: fn(&str) -> Option<Schema>,
    /// The ports that are published on this host.
    pub ports: fn() -> Result<Vec<Port>>,
    /// The published ports of the suite whose packets another rule of the host redirects.
    pub stolen: fn() -> Result<Vec<Stolen>>,
    /// Removes all of the suite's state in nf_tables; false where there is none.
    pub clear: fn() -> Result<bool>,
    /// Obstacles to a network's packets, by a plugin's name and its input; empty for a plugin of another suite.
    pub warnings: fn(&str, &[u8]) -> Result<Vec<Warning>>,
    /// Reads the holder of an interface from its tag.
    pub read_tag: ReadTag,
    /// Runs the daemon of the plugin `dhcp` with these flags, and returns its exit status.
    pub dhcp_daemon: fn(&[String]) -> u8,
    /// The state of an attachment with these addresses in the packet filter, a line for each element, chain and rule.
    pub rules: fn(&NetworkName, &AttachmentId, &[IpAddr]) -> Result<Vec<String>>,
    /// The calls that plugins have counted in a directory.
    pub counted: fn(&Path) -> Result<Vec<Counted>>,
}

/// The calls of a verb that ended with one code.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Such as `ADD`.
    pub verb: &'static str,
    /// Such as `0`, or `other`.
    pub code: String,
    /// How many took at most as long as each bound and longer than the one before. The last bucket has no bound.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// How long all took together.
    pub took: Duration,
}

/// A warning.
#[derive(Debug, Clone)]
pub struct Warning {
    /// The sort of the cause: `forward-drop` for a packet filter, `forward-off` for a switch, `vlans` for VLANs
    /// of a bridge, `netkit` for a kernel without that kind of pair.
    pub id: &'static str,
    /// One sentence.
    pub what: String,
    /// Commands, or changes by a person, that remove the cause.
    pub remedies: Vec<String>,
}

impl Warning {
    /// Whether the plugin `firewall` removes the cause.
    pub(crate) fn is_for_firewall(&self) -> bool {
        ["forward-drop", "forward-off"].contains(&self.id)
    }
}

/// A published port.
#[derive(Debug, Clone)]
pub struct Port {
    /// The filter that holds it.
    pub backend: &'static str,
    /// `tcp`, `udp` or `sctp`
    pub protocol: &'static str,
    /// The host's address and port; the unspecified address for all of the family.
    pub host: SocketAddr,
    /// Address and port of the container.
    pub container: SocketAddr,
    /// Network, container and interface; each is empty where it is unknown.
    pub owner: [String; 3],
    /// Whether the owner is certainly gone; absent where that is unknown.
    pub gone: Option<bool>,
}

/// A published port whose packets another rule redirects.
#[derive(Debug, Clone)]
pub struct Stolen {
    /// The network of the port's owner; empty where it is unknown.
    pub network: String,
    /// The port as `0.0.0.0:8080/tcp`.
    pub port: String,
    /// The place of the rule.
    pub by: String,
    /// The address to which the rule sends the packets.
    pub to: IpAddr,
}
