//! Checks of other programs of the host: managers of its network, its resolver, and holders of locks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use linkspan_runtime::conflist::PluginConf;
use serde_json::Value;

use super::finding::Finding;
use super::node::Node;
use super::pods::host_ends;
use crate::addressing::Conf;

/// States in which systemd-networkd leaves a link alone.
const UNMANAGED: [&str; 4] = ["unmanaged", "pending", "initialized", "linger"];

/// A resolver that only the host reaches, in the result of pods.
pub(super) fn resolver(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        for file in conf.0.plugins.iter().filter_map(resolv_conf) {
            let text = fs::read_to_string(file).unwrap_or_default();
            let servers = text.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                words.next().filter(|word| *word == "nameserver")?;
                words.next()
            });
            if let Some(server) = servers.into_iter().find(|ip| is_loopback(ip)) {
                let what = format!(
                    "{file} gives pods the name server {server}, which is the host's alone"
                );
                let command = "set \"resolvConf\": \"/run/systemd/resolve/resolv.conf\"";
                let fault = Finding::warn("resolver", what);
                found.push(fault.of_network(conf.name()).mend(command));
            }
        }
    }
}

fn resolv_conf(plugin: &PluginConf) -> Option<&str> {
    let ipam = plugin.keys.get("ipam")?;
    ipam.get("resolvConf").and_then(Value::as_str)
}

fn is_loopback(text: &str) -> bool {
    let ip = text.parse::<std::net::IpAddr>();
    ip.is_ok_and(|ip| ip.is_loopback())
}

/// Links of pods that another program of the host configures, so that it may set them down or remove addresses.
pub(super) fn managers(node: &Node<'_>, found: &mut Vec<Finding>) {
    let bridges = node.networks().filter_map(Conf::bridge);
    let bridges = bridges.map(|(name, _)| name);
    let ends = node.pods.iter().flat_map(host_ends);
    let links = bridges.chain(ends).filter_map(|name| node.link(name));
    for link in links {
        for (program, is_managed, command) in [
            (
                "systemd-networkd",
                by_networkd(Path::new("/run/systemd/netif/links"), link.index),
                format!(
                    "add \"[Match] Name={}\" and \"[Link] Unmanaged=yes\" to a file in /etc/systemd/network",
                    link.name
                ),
            ),
            (
                "NetworkManager",
                by_network_manager(Path::new("/run/NetworkManager/devices"), link.index),
                format!("nmcli device set {} managed no", link.name),
            ),
        ] {
            if is_managed {
                let what = format!(
                    "{program} manages {}, and may undo what pods need",
                    link.name
                );
                found.push(Finding::warn("managed", what).mend(command));
            }
        }
    }
}

fn by_networkd(dir: &Path, link: u32) -> bool {
    let text = fs::read_to_string(dir.join(link.to_string())).unwrap_or_default();
    let state = text
        .lines()
        .find_map(|line| line.strip_prefix("ADMIN_STATE="));
    state.is_some_and(|state| !UNMANAGED.contains(&state))
}

fn by_network_manager(dir: &Path, link: u32) -> bool {
    let text = fs::read_to_string(dir.join(link.to_string())).unwrap_or_default();
    text.lines().any(|line| line == "managed=true")
}

/// The finding about a lock for which plugins of the network wait.
pub(super) const STORE_LOCKED: &str = "store-locked";

/// Processes other than plugins that hold the lock of leases, which every ADD needs.
pub(super) fn locks(node: &Node<'_>, found: &mut Vec<Finding>) {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    for conf in node.networks() {
        let Some(lock) = conf.leases().map(|dir| dir.join("lock")) else {
            continue;
        };
        let Ok(inode) = fs::metadata(&lock).map(|meta| meta.ino()) else {
            continue;
        };
        let holders = locks.lines().filter_map(|line| holder(line, inode));
        for pid in holders {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = name.trim_end();
            // Plugins hold the lock for less than a millisecond, and the interface plugin may hold it for its IPAM
            // plugin.
            if name.is_empty() || node.places.suite.names.contains(&name) || name == "linkspan" {
                continue;
            }
            let what = format!(
                "{name} (pid {pid}) holds the lock {}: every ADD waits 20 s for it, then fails",
                lock.display()
            );
            let fault = Finding::fail(STORE_LOCKED, what);
            found.push(fault.of_network(conf.name()).mend(format!("kill {pid}")));
        }
    }
}

/// The process in a line of `/proc/locks`, if it holds a flock(2) on that inode.
fn holder(line: &str, inode: u64) -> Option<u32> {
    // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF"; a waiter has "->" in second place.
    let mut words = line.split_whitespace().skip(1);
    words.next().filter(|kind| *kind == "FLOCK")?;
    let pid = words.nth(2)?.parse().ok()?;
    let (_device, number) = words.next()?.rsplit_once(':')?;
    (number.parse() == Ok(inode)).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_runtime::scratch::Scratch;

    #[test]
    fn managers_tell_which_links_they_manage() {
        let dir = Scratch::new("managers").unwrap();
        for (link, text) in [
            (1, "ADMIN_STATE=configured\nOPER_STATE=routable\n"),
            (2, "ADMIN_STATE=unmanaged\n"),
            (3, "[device]\nmanaged=true\n"),
            (4, "[device]\nmanaged=false\n"),
        ] {
            fs::write(dir.path().join(link.to_string()), text).unwrap();
        }
        for (link, networkd, network_manager) in [
            (1, true, false),
            (2, false, false),
            (3, false, true),
            (4, false, false),
            (5, false, false),
        ] {
            assert_eq!(by_networkd(dir.path(), link), networkd, "{link}");
            assert_eq!(
                by_network_manager(dir.path(), link),
                network_manager,
                "{link}"
            );
        }
    }

    #[test]
    fn a_holder_is_not_a_waiter() {
        let held = "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF";
        assert_eq!(holder(held, 131), Some(4711));
        assert_eq!(holder(held, 132), None);
        for other in [
            "1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:131 0 EOF",
            "2: POSIX  ADVISORY  WRITE 4711 fe:00:131 0 EOF",
            "",
        ] {
            assert_eq!(holder(other, 131), None);
        }
    }
}
