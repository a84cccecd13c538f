//! Checks of a pod's settings by chained plugins: limits of bandwidth, and sysctls and settings of the interface.

use std::fs;
use std::path::Path;

use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_runtime::conflist::PluginConf;
use linkspan_runtime::{Result, kernel};
use serde_json::Value;

use super::finding::Finding;
use super::node::{Node, Pod};
use super::pods::host_ends;

/// Limits of bandwidth that are missing on the host's end of a pod.
pub(super) fn bandwidth(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for pod in &node.pods {
        for plugin in plugins(pod, "bandwidth")? {
            let text = |key| plugin.keys.get(key).and_then(Value::as_str);
            if text("shapeIn") == Some("container") {
                continue;
            }
            let some_only = ["shapedSubnets", "unshapedSubnets"]
                .iter()
                .any(|key| plugin.keys.contains_key(*key));
            let Some(end) = host_ends(pod).find_map(|name| node.link(name)) else {
                continue;
            };
            let missing = [
                (
                    "to",
                    rate(pod, &plugin, "ingressRate") && !some_only && !is_limited(end)?,
                ),
                (
                    "from",
                    rate(pod, &plugin, "egressRate")
                        && end.ingress_qdisc().map_err(kernel)?.is_none(),
                ),
            ];
            for (way, _) in missing.into_iter().filter(|(_, gone)| *gone) {
                let what = format!(
                    "the limit of bandwidth {way} the pod is missing on {}",
                    end.name
                );
                let fault = Finding::fail("bandwidth-gone", what);
                found.push(fault.of_pod(pod).mend("restart the pod"));
            }
        }
    }
    Ok(())
}

fn is_limited(end: &Link) -> Result<bool> {
    let root = end.root_qdisc().map_err(kernel)?;
    Ok(root.is_some_and(|root| root.bucket.is_some()))
}

/// Returns whether the configuration, or else the runtime, requested that rate.
fn rate(pod: &Pod, plugin: &PluginConf, key: &str) -> bool {
    let is_some = |value: Option<&Value>| value.and_then(Value::as_u64).is_some_and(|n| n > 0);
    let own = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
    if own.iter().any(|key| plugin.keys.contains_key(*key)) {
        return is_some(plugin.keys.get(key));
    }
    let declares = plugin.standard.capabilities.get("bandwidth") == Some(&true);
    let asked = pod.entry.capability_args.get("bandwidth");
    declares && is_some(asked.and_then(|asked| asked.get(key)))
}

/// Sysctls and settings of tuning that were changed in the pod.
pub(super) fn tuning(node: &Node<'_>, found: &mut Vec<Finding>) -> Result<()> {
    for pod in &node.pods {
        for plugin in plugins(pod, "tuning")? {
            sysctls(pod, &plugin, found);
            mtu(pod, &plugin, found);
        }
    }
    Ok(())
}

fn sysctls(pod: &Pod, plugin: &PluginConf, found: &mut Vec<Finding>) {
    let wanted = plugin.keys.get("sysctl").and_then(Value::as_object);
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return;
    };
    let path = Path::new(&pod.entry.netns);
    // Without the right to enter the namespace, the check skips it.
    let Ok(netns) = Netns::open(path) else {
        return;
    };
    let read = || {
        let one = |(name, value): (&String, &Value)| {
            let file = file(name, &pod.entry.if_name);
            let now = fs::read_to_string(Path::new("/proc/sys").join(&file)).ok()?;
            Some((file, value.as_str()?.to_owned(), now.trim().to_owned()))
        };
        wanted.iter().filter_map(one).collect::<Vec<_>>()
    };
    for (file, wanted, now) in netns.scope(read).unwrap_or_default() {
        if words(&wanted) == words(&now) {
            continue;
        }
        let name = file.replace('.', "%").replace('/', ".").replace('%', "/");
        let what = format!("{name} of the pod is {now}, and not {wanted}");
        let netns = &pod.entry.netns;
        let command = format!("nsenter --net={netns} sysctl -w {name}='{wanted}'");
        let fault = Finding::warn("tuning-changed", what);
        found.push(fault.of_pod(pod).mend(command));
    }
}

fn mtu(pod: &Pod, plugin: &PluginConf, found: &mut Vec<Finding>) {
    let wanted = plugin.keys.get("mtu").and_then(Value::as_u64);
    let link = pod.inside.as_ref();
    let link = link.and_then(|inside| inside.link(&pod.entry.if_name));
    if let (Some(wanted), Some((link, _))) = (wanted.filter(|mtu| *mtu > 0), link)
        && u64::from(link.mtu) != wanted
    {
        let (name, netns) = (&link.name, &pod.entry.netns);
        let what = format!("the MTU of {name} is {}, and not {wanted}", link.mtu);
        let command = format!("nsenter --net={netns} ip link set {name} mtu {wanted}");
        let fault = Finding::warn("tuning-changed", what);
        found.push(fault.of_pod(pod).mend(command));
    }
}

/// The file of a sysctl below `/proc/sys`. The first separator of a name tells which of its two forms it has.
fn file(name: &str, ifname: &str) -> String {
    let first = name.find(['.', '/']);
    let has_dots = first.and_then(|at| name.get(at..=at)) == Some(".");
    let path = if has_dots {
        let swapped = name.chars().map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            letter => letter,
        });
        swapped.collect()
    } else {
        name.to_owned()
    };
    path.replacen("IFNAME", ifname, 1)
}

/// The kernel separates with tabs, and people with spaces.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The plugins of one type in the network as it was at ADD.
fn plugins(pod: &Pod, kind: &str) -> Result<Vec<PluginConf>> {
    let plugins = pod.entry.network()?.plugins.into_iter();
    Ok(plugins.filter(|plugin| plugin.kind() == kind).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_a_file_in_either_form() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            (
                "net/ipv4/conf/IFNAME/rp_filter",
                "net/ipv4/conf/eth0.5/rp_filter",
            ),
            (
                "net.ipv4.conf.IFNAME.rp_filter",
                "net/ipv4/conf/eth0.5/rp_filter",
            ),
            (
                "net.ipv4.conf.a/b.arp_filter",
                "net/ipv4/conf/a.b/arp_filter",
            ),
        ] {
            assert_eq!(file(name, "eth0.5"), expected);
        }
    }
}
