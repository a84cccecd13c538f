//! `linkspan ports`: what is published on this host, and whose it is.

use std::io::Write;

use serde_json::{Value, json};

use crate::Result;
use crate::columns::align;

/// A published port, as the suite tells it.
#[derive(Debug, Clone)]
pub struct Port {
    /// `tcp`, `udp` or `sctp`
    pub protocol: String,
    /// The host's address; empty for all of the family.
    pub host_ip: String,
    /// The host's port.
    pub host_port: u16,
    /// Address and port of the container.
    pub container: std::net::SocketAddr,
    /// Network, container and interface; absent where the element is none of ours.
    pub owner: Option<[String; 3]>,
    /// Whether the owner's namespace is certainly gone.
    pub gone: bool,
}

/// What to do before a node goes back to another suite.
const CLEAR: &str = "\n`linkspan clear` removes all of it, and masquerade.\n";

/// Prints the ports, as a table or as JSON.
pub(crate) fn run(out: &mut dyn Write, ports: &[Port], as_json: bool) -> Result<()> {
    let text = if as_json {
        let all: Vec<Value> = ports.iter().map(object).collect();
        format!("{:#}\n", json!(all))
    } else {
        let heading = [
            "HOST",
            "CONTAINER",
            "NETWORK",
            "ID",
            "INTERFACE",
            "NAMESPACE",
        ];
        let table = align(heading, ports.iter().map(row).collect());
        format!("{table}{}", if ports.is_empty() { "" } else { CLEAR })
    };
    out.write_all(text.as_bytes()).map_err(crate::io("print"))
}

fn owner(port: &Port) -> [String; 3] {
    port.owner.clone().unwrap_or_default()
}

fn object(port: &Port) -> Value {
    let [network, container, interface] = owner(port);
    json!({
        "protocol": port.protocol,
        "hostIP": port.host_ip,
        "hostPort": port.host_port,
        "containerIP": port.container.ip(),
        "containerPort": port.container.port(),
        "network": network,
        "container": container,
        "interface": interface,
        "gone": port.gone,
    })
}

fn row(port: &Port) -> [String; 6] {
    let [network, container, interface] = owner(port);
    let host_ip = match (port.host_ip.as_str(), port.container.is_ipv6()) {
        ("", false) => "0.0.0.0",
        ("", true) => "::",
        (ip, _) => ip,
    };
    let namespace = if port.gone { "gone" } else { "alive" };
    [
        format!("{host_ip} {}/{}", port.host_port, port.protocol),
        port.container.to_string(),
        network,
        container,
        interface,
        namespace.to_owned(),
    ]
}
