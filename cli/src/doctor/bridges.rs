//! Checks of bridges, forwarding and packet filters.

use std::fs;
use std::path::{Path, PathBuf};

use linkspan_protocol::family::Family;
use linkspan_runtime::{Result, kernel};

use super::finding::Finding;
use super::node::Node;
use crate::warnings;

/// The directories of sysctl files.
const SYSCTL_DIRS: [&str; 4] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
];

/// Networks with IPv6 addresses on a host without IPv6.
pub(super) fn ipv6_off(node: &Node<'_>, found: &mut Vec<Finding>) {
    let off = "net/ipv6/conf/all/disable_ipv6";
    let switch = sysctl(off);
    for conf in node.networks().filter(|conf| conf.has_family(Family::V6)) {
        let (what, command) = match switch.as_deref() {
            Some("0") => continue,
            Some(_) => (
                "IPv6 is disabled on this host",
                "sysctl -w net.ipv6.conf.all.disable_ipv6=0",
            ),
            None => (
                "the kernel has no IPv6",
                "remove the ranges of IPv6 from the network",
            ),
        };
        found.push(
            Finding::fail("ipv6-off", what)
                .of_network(conf.name())
                .mend(command),
        );
    }
}

/// Bridges with pods that are missing or down.
pub(super) fn state(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        let Some((name, _)) = conf.bridge() else {
            continue;
        };
        let pods = node.pods_of(conf.name()).count();
        let fault = match node.link(name) {
            None if pods > 0 => {
                let what = format!("the bridge {name} of {pods} pods is missing");
                Finding::fail("bridge-missing", what).mend("restart the pods of the network")
            }
            Some(link) if link.kind != "bridge" => {
                let what = format!("{name} is not a bridge, but of the kind {:?}", link.kind);
                Finding::fail("bridge-missing", what).mend("give the network another bridge")
            }
            Some(link) if !link.up => {
                Finding::fail("bridge-down", format!("the bridge {name} is down"))
                    .mend(format!("ip link set {name} up"))
            }
            _ => continue,
        };
        found.push(fault.of_network(conf.name()));
    }
}

/// Bridges that lost the gateway's address.
pub(super) fn gateway(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for conf in node.networks().filter(|conf| conf.is_gateway()) {
        let Some(link) = conf.gateway_link().and_then(|name| node.link(&name)) else {
            continue;
        };
        let present: Vec<_> = link.addrs(None).map_err(kernel)?;
        // The address comes with the first pod.
        let used = |gateway| {
            let mut pods = node.pods_of(conf.name());
            pods.any(|pod| pod.result.ips.iter().any(|ip| ip.gateway == Some(gateway)))
        };
        for range in conf.ranges() {
            let gateway = range.gateway;
            if used(gateway) && !present.iter().any(|addr| addr.ip == gateway) {
                let what = format!("{} lacks the gateway's address {gateway}", link.name);
                let command = format!(
                    "ip addr add {gateway}/{} dev {}",
                    range.subnet.prefix(),
                    link.name
                );
                found.push(
                    Finding::fail("gateway-missing", what)
                        .of_network(conf.name())
                        .mend(command),
                );
            }
        }
    }
    Ok(())
}

/// A host with pods that does not forward their packets.
pub(super) fn forward_off(node: &Node<'_>, found: &mut Vec<Finding>) {
    for (family, key) in [
        (Family::V4, "net/ipv4/ip_forward"),
        (Family::V6, "net/ipv6/conf/all/forwarding"),
    ] {
        if sysctl(key).as_deref() != Some("0") {
            continue;
        }
        let has_pods = |name: &str| node.pods_of(name).next().is_some();
        let mut networks = node
            .networks()
            .filter(|conf| conf.is_routed() && conf.has_family(family));
        if networks.any(|conf| has_pods(conf.name())) {
            let key = key.replace('/', ".");
            let what = format!(
                "the host does not forward {}: {key} is 0",
                family.pick("IPv4", "IPv6")
            );
            let mut command = format!("sysctl -w {key}=1");
            if let Some(file) = resetter(&SYSCTL_DIRS, &key) {
                command = format!("{command}, and remove it from {}", file.display());
            }
            found.push(Finding::fail("forward-off", what).mend(command));
        }
    }
}

/// The file that sets a sysctl to 0 at the host's start, or whenever a service applies the files again.
fn resetter(dirs: &[impl AsRef<Path>], key: &str) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        let found = fs::read_dir(dir).into_iter().flatten().flatten();
        files.extend(found.map(|file| file.path()));
    }
    files.push(PathBuf::from("/etc/sysctl.conf"));
    let resets = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.trim().trim_start_matches('-');
            let set = line.split_once('=');
            set.is_some_and(|(name, value)| {
                name.trim().replace('/', ".") == key && value.trim() == "0"
            })
        })
    };
    files.into_iter().find(resets)
}

/// Packet filters and switches that keep packets from pods, as `status` warns of them.
pub(super) fn obstacles(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for conf in node.networks() {
        warnings::obstacles(conf.0, node.places.suite, |warning| {
            let fault = Finding::warn(warning.id, warning.what).of_network(conf.name());
            found.push(fault.mend(warning.remedies.join("; ")));
        })?;
    }
    Ok(())
}

/// A value below `/proc/sys`; `None` if this kernel lacks it.
pub(super) fn sysctl(key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{key}")).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_runtime::scratch::Scratch;

    #[test]
    fn the_file_that_resets_a_sysctl_is_found() {
        let dir = Scratch::new("sysctl").unwrap();
        let file = dir.path().join("99-router.conf");
        let key = "net.ipv4.ip_forward";
        for (text, is_it) in [
            ("# net.ipv4.ip_forward = 0", false),
            ("net.ipv4.ip_forward=1", false),
            ("net.ipv4.ip_forward = 0", true),
            ("-net/ipv4/ip_forward=0", true),
        ] {
            fs::write(&file, text).unwrap();
            let found = resetter(&[dir.path()], key);
            assert_eq!(found.as_ref() == Some(&file), is_it, "{text}");
        }
    }
}
