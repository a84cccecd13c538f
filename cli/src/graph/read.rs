//! Reads a node: the host's links, the remembered attachments, and the namespace of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use linkspan_owner::life::Life;
use linkspan_protocol::result::AddResult;
use linkspan_runtime::Result;

use super::host::{Host, addresses};
use super::inside::Inside;
use super::model::{Interface, Node, Pod, Published, Route, Table};
use super::told;
use crate::attachments::{Attached, state};
use crate::suite::Port;

/// The subject of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) attached: &'a [Attached],
    pub(crate) ports: &'a [Port],
    /// Whether it is the whole node, with all that is published.
    pub(crate) is_whole: bool,
}

/// Reads the node.
pub(crate) fn read(subject: Subject<'_>) -> Result<Node> {
    let host = Host::read()?;
    let mut by_pod: BTreeMap<(String, &str), Vec<&Attached>> = BTreeMap::new();
    for one in subject.attached {
        let entry = &one.entry;
        let place = if entry.netns.is_empty() {
            &entry.container_id
        } else {
            &entry.netns
        };
        by_pod.entry((name(one), place)).or_default().push(one);
    }
    let mut node = Node::default();
    for ((name, _), mut attached) in by_pod {
        attached.sort_by(|a, b| a.entry.if_name.cmp(&b.entry.if_name));
        node.pods.extend(pod(name, &attached, &host, subject.ports));
    }
    let interfaces = node.pods.iter().flat_map(|pod| &pod.interfaces);
    let mut seen = BTreeSet::new();
    let used = interfaces.filter_map(|one| one.on.clone());
    let used: Vec<String> = used.filter(|name| seen.insert(name.clone())).collect();
    node.links = host.drawn(&used, subject.is_whole)?;
    if subject.is_whole {
        let is_drawn = |port: &&Port| subject.attached.iter().any(|one| owns(one, port));
        let strays = subject.ports.iter().filter(|port| !is_drawn(port));
        node.ports = published(&strays.collect::<Vec<_>>());
    }
    Ok(node)
}

/// The name of a pod for people; a container has its id, where nothing names it.
fn name(one: &Attached) -> String {
    match one.name() {
        name if name == "-" => crate::attachments::short(&one.entry.container_id, false),
        name => name,
    }
}

/// Whether the port leads to the attachment. Not every backend tells the interface.
fn owns(one: &Attached, port: &Port) -> bool {
    let [network, container, interface] = &port.owner;
    let entry = &one.entry;
    (network, container) == (&entry.network_name, &entry.container_id)
        && (interface.is_empty() || *interface == entry.if_name)
}

fn published(ports: &[&Port]) -> Vec<Published> {
    let one = |port: &Port| Published {
        host_port: port.host.port(),
        protocol: port.protocol.to_owned(),
        host_ip: Some(port.host.ip())
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string()),
        container_port: port.container.port(),
    };
    // A port of both families is one.
    let all: BTreeSet<Published> = ports.iter().map(|port| one(port)).collect();
    all.into_iter().collect()
}

fn pod(name: String, attached: &[&Attached], host: &Host, ports: &[Port]) -> Option<Pod> {
    let first = attached.first()?;
    let lives = first.life == Life::Alive;
    let inside = lives.then(|| Inside::read(Path::new(&first.entry.netns)));
    let inside = inside.flatten();
    let own = first.pod();
    let mut pod = Pod {
        name,
        kubernetes_name: own.as_ref().map(|pod| pod.name.clone()),
        kubernetes_namespace: own.map(|pod| pod.namespace),
        container: first.entry.container_id.clone(),
        netns: first.entry.netns.clone(),
        state: state(first.life).to_owned(),
        interfaces: Vec::new(),
    };
    for one in attached {
        let ports: Vec<&Port> = ports.iter().filter(|port| owns(one, port)).collect();
        let mut interface = Interface {
            name: one.entry.if_name.clone(),
            network: one.entry.network_name.clone(),
            ports: published(&ports),
            ..Interface::default()
        };
        let is_read = inside
            .as_ref()
            .and_then(|inside| fill(&mut interface, inside, host));
        if is_read.is_none() {
            remember(&mut interface, one, host);
        }
        pod.interfaces.push(interface);
    }
    Some(pod)
}

/// The interface as the namespace has it; `None` where it is not there.
fn fill(interface: &mut Interface, inside: &Inside, host: &Host) -> Option<()> {
    let link = inside.link(&interface.name)?;
    let own = addresses(link).ok()?;
    interface.addresses = told::texts(&own);
    interface.kind = told::kind(link);
    interface.on = host.below(link).map(|link| link.name.clone());
    interface.vrf = inside.vrf(link).map(|vrf| vrf.name.clone());
    interface.tables = inside.tables(link, &own);
    Some(())
}

/// The interface as ADD's result has it.
fn remember(interface: &mut Interface, one: &Attached, host: &Host) {
    interface.addresses = one.addresses();
    let AddResult {
        interfaces, routes, ..
    } = &one.result;
    let mut of_host = interfaces.iter().filter(|one| one.sandbox.is_empty());
    let on = of_host.find_map(|one| host.link(&one.name));
    interface.on = on.map(|link| host.carrier(link).name.clone());
    let routes: Vec<Route> = routes
        .iter()
        .map(|route| told::route((route.dst.ip(), route.dst.prefix()), route.gw))
        .collect();
    if !routes.is_empty() {
        interface.tables.push(Table {
            number: linkspan_netlink::route::MAIN,
            rules: Vec::new(),
            routes,
        });
    }
}
