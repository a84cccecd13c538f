//! `linkspan ports`: the ports that are published on this host, their owners, and the host's processes that listen
//! there.

use std::io::Write;

use serde_json::{Value, json};

use linkspan_runtime::Result;

use crate::columns::align;
use crate::listeners::{self, Listener};
use crate::suite::Port;

const HEADING: [&str; 7] = [
    "HOST",
    "CONTAINER",
    "NETWORK",
    "ID",
    "INTERFACE",
    "NAMESPACE",
    "BACKEND",
];

/// The backend whose ports `clear` removes.
const OURS: &str = "nftables";

/// A reminder for a node that goes back to another suite.
const CLEAR: &str =
    "\n`linkspan clear` removes all that has the backend nftables, and masquerade.\n";

/// Prints the ports, as a table or as JSON.
pub(crate) fn run(out: &mut dyn Write, ports: &[Port], as_json: bool) -> Result<()> {
    let listeners = listeners::of(ports)?;
    let text = if as_json {
        let all = ports.iter().zip(&listeners);
        let all: Vec<Value> = all.map(|(port, own)| object(port, own)).collect();
        format!("{:#}\n", json!(all))
    } else {
        let mut text = align(HEADING, ports.iter().map(row).collect());
        let mut told: Vec<String> = Vec::new();
        for (port, own) in ports.iter().zip(&listeners) {
            told.extend(own.iter().map(|listener| note(port, listener)));
        }
        // A process on all addresses of both families listens on two published ports.
        told.sort();
        told.dedup();
        if !told.is_empty() {
            text = format!("{text}\n{}", told.concat());
        }
        if ports.iter().any(|port| port.backend == OURS) {
            text.push_str(CLEAR);
        }
        text
    };
    out.write_all(text.as_bytes())
        .map_err(linkspan_runtime::io("print"))
}

fn object(port: &Port, listeners: &[Listener]) -> Value {
    let [network, container, interface] = &port.owner;
    let host_ip = match port.host.ip() {
        ip if ip.is_unspecified() => String::new(),
        ip => ip.to_string(),
    };
    let listener = |one: &Listener| {
        let process = one.process.as_ref();
        json!({
            "ip": one.address.ip(),
            "port": one.address.port(),
            "pid": process.map(|process| process.pid),
            "command": process.map(|process| &process.command),
        })
    };
    let listeners: Vec<Value> = listeners.iter().map(listener).collect();
    json!({
        "backend": port.backend,
        "protocol": port.protocol,
        "hostIP": host_ip,
        "hostPort": port.host.port(),
        "containerIP": port.container.ip(),
        "containerPort": port.container.port(),
        "network": network,
        "container": container,
        "interface": interface,
        "gone": port.gone,
        "listeners": listeners,
    })
}

fn row(port: &Port) -> [String; 7] {
    let told = |part: &String| match part.as_str() {
        "" => "-".to_owned(),
        part => part.to_owned(),
    };
    let [network, container, interface] = port.owner.each_ref().map(told);
    let namespace = match port.gone {
        Some(true) => "gone",
        Some(false) => "alive",
        None => "unknown",
    };
    let (ip, number) = (port.host.ip(), port.host.port());
    [
        format!("{ip} {number}/{}", port.protocol),
        port.container.to_string(),
        network,
        container,
        interface,
        namespace.to_owned(),
        port.backend.to_owned(),
    ]
}

fn note(port: &Port, listener: &Listener) -> String {
    let process = match &listener.process {
        Some(process) => format!("{} (pid {})", process.command, process.pid),
        None => "a process that cannot be seen from here".to_owned(),
    };
    let (ip, number) = (listener.address.ip(), listener.address.port());
    format!(
        "{ip} {number}/{}: {process} listens there, too; the container gets what comes for the published port.\n",
        port.protocol
    )
}
