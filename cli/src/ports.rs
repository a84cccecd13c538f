//! `linkspan ports`: the ports that are published on this host, their owners, and the host's processes that listen
//! there.

use std::io::Write;

use clap::Args;
use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use serde_json::{Value, json};

use crate::attachments::{Attached, pod_of, short, state};
use crate::columns::align;
use crate::end::{End, Ended, NO};
use crate::listeners::{self, Listener};
use crate::output;
use crate::suite::Port;

const HEADING: [&str; 8] = [
    "HOST",
    "CONTAINER",
    "NETWORK",
    "ID",
    "POD",
    "INTERFACE",
    "NAMESPACE",
    "BACKEND",
];

/// The backend whose ports `clear` removes.
const OURS: &str = "nftables";

/// A reminder for a node that goes back to another suite.
const CLEAR: &str =
    "\n`linkspan clear` removes all that has the backend nftables, and masquerade.\n";

#[derive(Debug, Args)]
pub(crate) struct PortsArgs {
    /// One port of the host, as 8080 or 8080/tcp; the exit status is 1 if it is not published
    port: Option<String>,
    /// Only the ports of this network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Ids in full length
    #[arg(long)]
    no_trunc: bool,
}

/// A port of the host, by any protocol where none is named.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    number: u16,
    protocol: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn parse(text: &'a str) -> Result<Self, End> {
        let (number, protocol) = match text.split_once('/') {
            Some((number, protocol)) => (number, Some(protocol)),
            None => (text, None),
        };
        let is_known = protocol.is_none_or(|name| ["tcp", "udp", "sctp"].contains(&name));
        match number.parse() {
            Ok(number) if is_known => Ok(Self { number, protocol }),
            _ => {
                let told = format!("invalid port {text:?}");
                let failure = Failure::new(ErrorCode::INVALID_ENVIRONMENT, told);
                Err(End::usage(failure.hint("write it as 8080 or 8080/tcp")))
            }
        }
    }

    fn is(self, port: &Port) -> bool {
        port.host.port() == self.number && self.protocol.is_none_or(|name| name == port.protocol)
    }
}

/// Prints the ports, as a table or as JSON. The exit status is 1 if a requested port is not published.
pub(crate) fn run(
    out: &mut dyn Write,
    mut ports: Vec<Port>,
    attached: &[Attached],
    args: &PortsArgs,
    as_json: bool,
) -> Ended {
    let asked = args.port.as_deref().map(Asked::parse).transpose()?;
    ports.retain(|port| asked.is_none_or(|asked| asked.is(port)));
    let is_of = |port: &Port| {
        args.network
            .as_ref()
            .is_none_or(|name| port.owner[0] == *name)
    };
    ports.retain(is_of);
    let listeners = listeners::of(&ports)?;
    if as_json {
        let all = ports.iter().zip(&listeners);
        let all: Vec<Value> = all.map(|(port, own)| object(port, own, attached)).collect();
        output::rows(out, &all)?;
    } else {
        output::text(out, &table(&ports, &listeners, attached, args.no_trunc))?;
    }
    let is_missing = asked.is_some() && ports.is_empty();
    Ok(if is_missing { NO } else { 0 })
}

fn table(
    ports: &[Port],
    listeners: &[Vec<Listener>],
    attached: &[Attached],
    is_whole: bool,
) -> String {
    let rows = ports.iter().map(|port| row(port, attached, is_whole));
    let mut text = align(HEADING, rows.collect());
    let mut told: Vec<String> = Vec::new();
    for (port, own) in ports.iter().zip(listeners) {
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
}

/// Whether the owner is known to be gone.
pub(crate) fn is_gone(port: &Port) -> bool {
    life(port) == Life::Gone
}

/// The life of the owner.
fn life(port: &Port) -> Life {
    match port.gone {
        Some(true) => Life::Gone,
        Some(false) => Life::Alive,
        None => Life::Unknown,
    }
}

pub(crate) fn object(port: &Port, listeners: &[Listener], attached: &[Attached]) -> Value {
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
    let pod = pod_of(attached, network, container);
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
        "pod": pod.as_ref().map(|pod| &pod.name),
        "podNamespace": pod.as_ref().map(|pod| &pod.namespace),
        "state": state(life(port)),
        "gone": port.gone,
        "listeners": listeners,
    })
}

fn row(port: &Port, attached: &[Attached], is_whole: bool) -> [String; 8] {
    let told = |part: &String| match part.as_str() {
        "" => "-".to_owned(),
        part => part.to_owned(),
    };
    let [network, container, interface] = port.owner.each_ref().map(told);
    let pod = pod_of(attached, &network, &container);
    let (ip, number) = (port.host.ip(), port.host.port());
    [
        format!("{ip} {number}/{}", port.protocol),
        port.container.to_string(),
        network,
        short(&container, is_whole),
        pod.map_or_else(|| "-".to_owned(), |pod| pod.text()),
        interface,
        state(life(port)).to_owned(),
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
