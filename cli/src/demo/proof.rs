//! The demonstration's proofs, by packets and by the kernel's own lists.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use linkspan_netlink::netns::{Netns, NetnsId};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;
use linkspan_runtime::{Result, kernel};
use serde_json::{Value, json};

use super::pod::Pod;
use super::refuted;
use super::world::World;
use crate::outside::{HOST, WORLD};
use crate::suite::Suite;
use crate::traffic;

/// Pod to pod and pod to gateway, in both directions and both families; a line for each.
pub(super) fn traffic(world: &World, pods: &[Pod; 2]) -> Result<Vec<String>> {
    let [a, b] = pods;
    let mut lines = Vec::new();
    for (from, to) in [(a, b), (b, a)] {
        for ip in to.addresses() {
            exchange(&from.netns, &to.netns, ip)?;
            lines.push(format!("  {} -> {} {ip}: ok", from.name, to.name));
        }
    }
    for pod in pods {
        for ip in pod.gateways() {
            exchange(&pod.netns, &world.host, ip)?;
            lines.push(format!("  {} -> gateway {ip}: ok", pod.name));
        }
    }
    let families = |of: fn(&IpAddr) -> bool| a.addresses().filter(of).count();
    if families(IpAddr::is_ipv4) == 0 || families(IpAddr::is_ipv6) == 0 {
        return Err(refuted("the pods did not get addresses of both families"));
    }
    Ok(lines)
}

/// The host's port that leads to pod-a, and pod-a's own.
pub(super) const HOST_PORT: u16 = 8080;
pub(super) const CONTAINER_PORT: u16 = 80;

/// The ports that pod-a publishes.
pub(super) fn published() -> Value {
    let mapping = |protocol: &str| json!({ "hostPort": HOST_PORT, "containerPort": CONTAINER_PORT, "protocol": protocol });
    json!([mapping("tcp"), mapping("udp")])
}

/// Pod to world, which must see the host; a line for each.
pub(super) fn masquerade(world: &World, pods: &[Pod; 2]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (host, outside) in addresses(HOST).zip(addresses(WORLD)) {
        let server = Server::new(&world.outside, SocketAddr::new(outside, 0))?;
        for pod in pods {
            let seen = server.answer(&pod.netns, server.address()?)?;
            if seen != host {
                return Err(refuted(format!("the world saw {} as {seen}", pod.name)));
            }
            lines.push(format!(
                "  {} -> world {outside}: ok, seen as {seen}",
                pod.name
            ));
        }
    }
    Ok(lines)
}

/// Every client to the published port of the host, also the pod itself and the host by its loopback address.
pub(super) fn ports(world: &World, pods: &[Pod; 2]) -> Result<Vec<String>> {
    let [pod, neighbour] = pods;
    let mut lines = Vec::new();
    for (host, loopback) in addresses(HOST).zip(addresses(["127.0.0.1", "::1"])) {
        let any = Family::of(host).unspecified();
        let server = Server::new(&pod.netns, SocketAddr::new(any, CONTAINER_PORT))?;
        for (name, from, ip) in [
            ("world", &world.outside, host),
            ("host", &world.host, host),
            ("host", &world.host, loopback),
            (neighbour.name, &neighbour.netns, host),
            (pod.name, &pod.netns, host),
        ] {
            let address = SocketAddr::new(ip, HOST_PORT);
            let seen = server.answer(from, address)?;
            lines.push(format!(
                "  {name} -> {address} -> {}: ok, seen as {seen}",
                pod.name
            ));
        }
    }
    Ok(lines)
}

fn addresses(texts: [&'static str; 2]) -> impl Iterator<Item = IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok())
}

/// Sockets of both protocols at one address.
struct Server {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Server {
    fn new(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let failed = |what: &str| {
            linkspan_runtime::io(format!("the demonstration failed: {what} {address}"))
        };
        let tcp = traffic::at(netns, || TcpListener::bind(address)).map_err(failed("listen at"))?;
        let same = tcp.local_addr().map_err(failed("listen at"))?;
        let udp = traffic::at(netns, || UdpSocket::bind(same)).map_err(failed("bind"))?;
        Ok(Self { tcp, udp })
    }

    fn address(&self) -> Result<SocketAddr> {
        self.tcp
            .local_addr()
            .map_err(linkspan_runtime::io("the server's address"))
    }

    /// An exchange by each protocol through `address`. Returns the sender that the server saw.
    fn answer(&self, from: &Netns, address: SocketAddr) -> Result<IpAddr> {
        let failed = |what: &str| {
            linkspan_runtime::io(format!("the demonstration failed: {what} to {address}"))
        };
        let udp = traffic::udp_through(from, &self.udp, address).map_err(failed("udp"))?;
        let tcp = traffic::tcp_through(from, &self.tcp, address).map_err(failed("tcp"))?;
        if tcp.ip() == udp.ip() {
            return Ok(tcp.ip());
        }
        Err(refuted(format!(
            "tcp and udp to {address} come from different addresses"
        )))
    }
}

/// Proves that no port is published any more.
pub(super) fn withdrawn(suite: Suite<'_>) -> Result<()> {
    match (suite.ports)()?.first() {
        Some(port) => Err(refuted(format!(
            "port {} is still published",
            port.host.port()
        ))),
        None => Ok(()),
    }
}

fn exchange(from: &Netns, to: &Netns, ip: IpAddr) -> Result<()> {
    let attempt = |protocol: &str| {
        linkspan_runtime::io(format!("the demonstration failed: {protocol} to {ip}"))
    };
    traffic::udp(from, to, ip).map_err(attempt("udp"))?;
    traffic::tcp(from, to, ip).map_err(attempt("tcp"))
}

/// Proves that nothing of the attachments is left, in the pods, on the host or on disk.
pub(super) fn detached(world: &World, pods: &[Pod], before: &[String]) -> Result<()> {
    for pod in pods {
        let links = Rtnl::open(&pod.netns)
            .map_err(kernel)?
            .links()
            .map_err(kernel)?;
        if let Some(link) = links.iter().find(|link| link.name != "lo") {
            return Err(refuted(format!("{} still has {}", pod.name, link.name)));
        }
    }
    let bridges: Vec<&str> = world
        .list
        .plugins
        .iter()
        .filter_map(|plugin| plugin.keys.get("bridge")?.as_str())
        .collect();
    for link in world.links()? {
        if !before.contains(&link) && !bridges.contains(&&*link) {
            return Err(refuted(format!("the host still has {link}")));
        }
    }
    match world.remembered().first() {
        Some(file) => Err(refuted(format!("{} is still there", file.display()))),
        None => Ok(()),
    }
}

/// Proves that nothing holds the namespaces, so the kernel has freed them (namespaces(7)).
pub(super) fn released(ids: &[NetnsId]) -> Result<()> {
    let names: Vec<String> = ids.iter().map(|id| format!("net:[{}]", id.ino)).collect();
    let held_at = |path: &Path| {
        let target = fs::read_link(path).unwrap_or_default();
        names.iter().any(|name| target.as_os_str() == name.as_str())
    };
    let processes = entries("/proc").map(|process| process.join("ns/net"));
    if let Some(path) = processes
        .chain(entries("/proc/self/fd"))
        .find(|path| held_at(path))
    {
        return Err(refuted(format!(
            "{} holds a pod's namespace",
            path.display()
        )));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(linkspan_runtime::io("read the mounts"))?;
    match mounts
        .lines()
        .find(|mount| names.iter().any(|name| mount.contains(name)))
    {
        Some(mount) => Err(refuted(format!("a mount holds a pod's namespace: {mount}"))),
        None => Ok(()),
    }
}

fn entries(dir: &str) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}
