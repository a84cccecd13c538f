//! Checks of the host itself: the store and the kernel's limits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use linkspan_protocol::family::Family;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::bridges::sysctl;
use super::finding::Finding;
use super::node::{Node, Pod};
use crate::addressing::Conf;

/// A limit counts as near from this part of it on, in percent.
const NEAR: u64 = 90;

/// Directories that are full or cannot be written, and files of the cache that cannot be read.
pub(super) fn store(node: &Node<'_>, found: &mut Vec<Finding>) {
    let leases = node.networks().filter_map(Conf::leases);
    let dirs: BTreeSet<PathBuf> = leases
        .chain([node.places.cache_dir.to_owned()])
        .filter_map(|dir| existing(&dir))
        .collect();
    for dir in &dirs {
        let at = dir.display();
        if let Err(errno) = access(dir, AccessFlags::W_OK) {
            let what = format!("{at} cannot be written: {}", errno.desc());
            found.push(
                Finding::fail("store", what)
                    .mend(format!("mount -o remount,rw {at}, or run this as root")),
            );
        }
        let Ok(space) = statvfs(dir) else {
            continue;
        };
        // Some file systems have no fixed number of inodes, and report 0.
        let is_full =
            space.blocks_available() == 0 || (space.files() > 0 && space.files_available() == 0);
        if is_full {
            let what = format!("the file system of {at} is full");
            found.push(Finding::fail("store", what).mend(format!(
                "free space or inodes there: df -h {at}; df -i {at}"
            )));
        }
    }
    for path in &node.unreadable {
        let what = format!("{} is not a remembered attachment", path.display());
        found.push(
            Finding::warn("store", what)
                .mend(format!("rm {}, if it is not needed", path.display())),
        );
    }
}

/// The directory, or the nearest parent that exists.
fn existing(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned)
}

/// Nearly full tables of the kernel, and reverse path filters that break two uplinks.
pub(super) fn limits(node: &Node<'_>, found: &mut Vec<Finding>) {
    let number = |key: &str| sysctl(key)?.parse::<u64>().ok();
    let neighbours = fs::read_to_string("/proc/net/arp").unwrap_or_default();
    let neighbours = u64::try_from(neighbours.lines().skip(1).count()).ok();
    let tables = [
        (
            "conntrack",
            "connections",
            number("net/netfilter/nf_conntrack_count"),
            "net/netfilter/nf_conntrack_max",
        ),
        (
            "neighbours",
            "neighbours of IPv4",
            neighbours,
            "net/ipv4/neigh/default/gc_thresh3",
        ),
    ];
    for (id, of, count, key) in tables {
        if let (Some(count), Some(max)) = (count, number(key))
            && count >= max.saturating_mul(NEAR).div_ceil(100)
        {
            let what =
                format!("the kernel has {count} of {max} {of}, and drops packets when it has all");
            let command = format!(
                "sysctl -w {}={}",
                key.replace('/', "."),
                max.saturating_mul(2)
            );
            found.push(Finding::warn(id, what).mend(command));
        }
    }
    let defaults = node.routes.iter().filter(|route| route.dst.1 == 0);
    let four = defaults.filter(|route| Family::of(route.dst.0) == Family::V4);
    let uplinks: BTreeSet<u32> = four.filter_map(|route| route.oif).collect();
    if uplinks.len() > 1 && sysctl("net/ipv4/conf/all/rp_filter").as_deref() == Some("1") {
        let what =
            "the host has two uplinks, and rp_filter drops packets that come in by the other one";
        found
            .push(Finding::warn("rp-filter", what).mend("sysctl -w net.ipv4.conf.all.rp_filter=2"));
    }
}

/// A host without a default route whose pods have one.
pub(super) fn uplink(node: &Node<'_>, found: &mut Vec<Finding>) {
    let leaves = |pod: &Pod| {
        let mut routes = pod.result.routes.iter();
        let conf = node.network(&pod.entry.network_name);
        conf.is_some_and(Conf::is_routed) && routes.any(|route| route.dst.is_default())
    };
    let has_way = node.routes.iter().any(|route| route.dst.1 == 0);
    if !has_way && node.pods.iter().any(leaves) {
        let what = "the host has no default route, so pods reach nothing beyond its own networks";
        let fault = Finding::warn("no-default-route", what);
        found.push(fault.mend("ip route add default via ROUTER"));
    }
}
