//! Checks of host-local's leases: a file for each address, with the container on its first line.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use linkspan_runtime::Result;

use super::finding::Finding;
use super::node::Node;
use crate::addressing::Range;

/// A pool counts as low from this part of it on, in percent.
const LOW: u128 = 90;

/// A range set of a network, and how many of its addresses have a lease.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) network: String,
    /// The first subnet of the set.
    pub(crate) range: String,
    pub(crate) size: u128,
    pub(crate) taken: u128,
    /// Leased to attachments whose namespace is gone.
    pub(crate) gone: u128,
}

/// Every range set of host-local.
pub(super) fn pools(node: &Node<'_>) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    for conf in node.networks() {
        let Some(dir) = conf.leases() else {
            continue;
        };
        let leased = addresses(&dir)?;
        for set in conf.sets() {
            let Some(first) = set.first() else {
                continue;
            };
            let sizes = set.iter().map(Range::size);
            let held = |ip: &&IpAddr| set.iter().any(|range| range.holds(**ip));
            let taken: Vec<&IpAddr> = leased.iter().filter(held).collect();
            let gone = taken.iter();
            let gone = gone.filter(|ip| is_gone(node, conf.name(), &dir, ***ip));
            pools.push(Pool {
                network: conf.name().to_owned(),
                range: first.subnet.to_string(),
                size: sizes.fold(0, u128::saturating_add),
                gone: count(gone.count()),
                taken: count(taken.len()),
            });
        }
    }
    Ok(pools)
}

fn count(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}

/// Pools without addresses, or with few.
pub(super) fn pool(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for Pool {
        network,
        range,
        size,
        taken,
        gone,
    } in pools(node)?
    {
        if taken < size.saturating_mul(LOW).div_ceil(100) {
            continue;
        }
        let what = format!(
            "{taken} of {size} addresses of {range} are leased, {gone} to pods that are gone"
        );
        let fault = if taken >= size {
            Finding::fail("pool-full", what)
        } else {
            Finding::warn("pool-low", what)
        };
        let command = match gone {
            0 => "give the network a wider range".to_owned(),
            _ => format!("linkspan gc {network}"),
        };
        found.push(fault.of_network(&network).mend(command));
    }
    Ok(())
}

/// Returns whether the lease belongs to a container whose namespace is gone.
fn is_gone(node: &Node<'_>, network: &str, dir: &Path, ip: IpAddr) -> bool {
    let Ok(owner) = owner(dir, ip) else {
        return false;
    };
    let mut gone = node.gone.iter();
    gone.any(|entry| entry.network_name == network && entry.container_id == owner)
}

/// Addresses of living pods without a lease, or with another container's.
pub(super) fn of_pods(node: &Node<'_>, found: &mut Vec<Finding>) {
    for pod in &node.pods {
        let Some(conf) = node.network(&pod.entry.network_name) else {
            continue;
        };
        let Some(dir) = conf.leases() else {
            continue;
        };
        let ranges = conf.ranges();
        let ips = pod.result.ips.iter().map(|ip| ip.address.ip());
        for ip in ips.filter(|ip| ranges.iter().any(|range| range.holds(*ip))) {
            let what = match owner(&dir, ip) {
                Err(err) if err.kind() == ErrorKind::NotFound => {
                    let what =
                        format!("the lease of {ip} is missing, so another pod may get the address");
                    Finding::fail("lease-gone", what)
                }
                Err(err) => Finding::warn(
                    "lease-gone",
                    format!("the lease of {ip} cannot be read: {err}"),
                ),
                Ok(owner) if owner == pod.entry.container_id => continue,
                Ok(owner) => Finding::fail(
                    "lease-foreign",
                    format!("the lease of {ip} is that of container {owner:?}"),
                ),
            };
            found.push(what.of_pod(pod).mend("restart the pod"));
        }
    }
}

fn owner(dir: &Path, ip: IpAddr) -> std::io::Result<String> {
    let text = fs::read_to_string(dir.join(ip.to_string()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn addresses(dir: &Path) -> Result<Vec<IpAddr>> {
    let files = match fs::read_dir(dir) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(linkspan_runtime::io(format!("list {}", dir.display())))?,
    };
    let name = |file: fs::DirEntry| file.file_name().to_str()?.parse().ok();
    Ok(files.flatten().filter_map(name).collect())
}
