//! What the demonstration proves, with packets and with the kernel's own lists.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use linkspan_netlink::netns::{Netns, NetnsId};

use super::pod::Pod;
use super::refuted;
use super::world::World;
use crate::{Result, kernel, traffic};

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

fn exchange(from: &Netns, to: &Netns, ip: IpAddr) -> Result<()> {
    let attempt =
        |protocol: &str| crate::io(format!("the demonstration failed: {protocol} to {ip}"));
    traffic::udp(from, to, ip).map_err(attempt("udp"))?;
    traffic::tcp(from, to, ip).map_err(attempt("tcp"))
}

/// Nothing of the attachments is left, in the pods, on the host or on disk.
pub(super) fn detached(world: &World, pods: &[Pod], before: &[String]) -> Result<()> {
    for pod in pods {
        let links = world.rtnl_in(&pod.netns)?.links().map_err(kernel)?;
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

/// Nobody holds the namespaces, so the kernel has freed them (namespaces(7)).
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
    let mounts =
        fs::read_to_string("/proc/self/mountinfo").map_err(crate::io("read the mounts"))?;
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
