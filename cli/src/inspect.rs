//! `linkspan inspect`: all that is known of one attachment: result, pod, leases, ports, the host's end and rules.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::ident::NetworkName;
use linkspan_runtime::{Result, chain, kernel};
use serde_json::{Value, json};

use crate::addressing::Conf;
use crate::attachments::Attached;
use crate::output::{self, with};
use crate::ports;
use crate::suite::{Port, Suite};

/// Prints the attachment for a person, or as JSON.
pub(crate) fn run(
    out: &mut dyn Write,
    one: &Attached,
    suite: Suite<'_>,
    as_json: bool,
) -> Result<()> {
    let published = (suite.ports)()?;
    let of_it = |port: &&Port| {
        let [network, container, _] = &port.owner;
        (network, container) == (&one.entry.network_name, &one.entry.container_id)
    };
    let attached = std::slice::from_ref(one);
    let ports: Vec<&Port> = published.iter().filter(of_it).collect();
    let leases = leases(one);
    let ends = host_ends(one)?;
    let rules = rules(one, suite)?;
    if as_json {
        let ports: Vec<Value> = ports
            .iter()
            .map(|port| ports::object(port, &[], attached))
            .collect();
        let more = json!({
            "addresses": one.addresses(),
            "doubt": one.doubt(),
            "result": one.entry.result,
            "args": one.entry.cni_args.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            "leases": leases,
            "ports": ports,
            "hostEnds": ends,
            "rules": rules,
        });
        return output::rows(out, &[with(one.json(), &more)]);
    }
    let mut lines = vec![
        ("network", one.entry.network_name.clone()),
        ("container", one.entry.container_id.clone()),
        ("interface", one.entry.if_name.clone()),
        ("pod", one.name()),
        ("namespace", one.entry.netns.clone()),
        ("state", crate::attachments::state(one.life).to_owned()),
    ];
    lines.extend(one.doubt().map(|doubt| ("doubt", doubt)));
    lines.extend(one.addresses().into_iter().map(|ip| ("address", ip)));
    lines.extend(leases.iter().map(|lease| ("lease", words(lease))));
    lines.extend(ends.iter().map(|end| ("host end", words(end))));
    for port in &ports {
        let told = format!(
            "{}/{} to {} ({})",
            port.host, port.protocol, port.container, port.backend
        );
        lines.push(("port", told));
    }
    lines.extend(rules.into_iter().map(|rule| ("rule", rule)));
    let lines: Vec<String> = lines
        .iter()
        .map(|(key, value)| format!("{key:10} {value}"))
        .collect();
    let mut text = format!("{}\n", lines.join("\n"));
    if let Some(result) = &one.entry.result {
        text.push_str("result\n");
        text.push_str(&chain::print(result)?);
        text.push('\n');
    }
    output::text(out, &text)
}

/// The values of an object in one line, each after its key.
fn words(object: &Value) -> String {
    let keys = object.as_object().into_iter().flatten();
    let word = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key} {text}"),
        other => format!("{key} {other}"),
    };
    keys.map(word).collect::<Vec<_>>().join(", ")
}

/// The attachment's state in the packet filter: elements of our tables, chains and rules of iptables.
fn rules(one: &Attached, suite: Suite<'_>) -> Result<Vec<String>> {
    // The cache may have the entry of another library, whose words no plugin of ours took.
    let Ok(network) = NetworkName::parse(&one.entry.network_name) else {
        return Ok(Vec::new());
    };
    let ips: Vec<IpAddr> = one.ips().collect();
    match one.entry.attachment() {
        Ok(at) => (suite.rules)(&network, &at.id(), &ips),
        Err(_) => Ok(Vec::new()),
    }
}

/// The leases of the attachment's addresses, where host-local keeps them.
fn leases(one: &Attached) -> Vec<Value> {
    let Ok(list) = one.entry.network() else {
        return Vec::new();
    };
    let Some(dir) = Conf(&list).leases() else {
        return Vec::new();
    };
    let lease = |ip: IpAddr| {
        let file = dir.join(ip.to_string());
        let owner = owner(&file);
        json!({ "ip": ip, "file": file, "owner": owner, "own": owner.as_deref() == Some(&*one.entry.container_id) })
    };
    one.ips().map(lease).collect()
}

fn owner(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The host's interfaces of the result as the kernel has them.
fn host_ends(one: &Attached) -> Result<Vec<Value>> {
    let rtnl = Rtnl::here();
    let links = rtnl.and_then(|rtnl| rtnl.links()).map_err(kernel)?;
    let of_host = one
        .result
        .interfaces
        .iter()
        .filter(|end| end.sandbox.is_empty());
    let end = |name: &String| {
        let link = links.iter().find(|link| link.name == *name);
        let bridge = link.and_then(|link| {
            let index = link.controller?;
            links.iter().find(|other| other.index == index)
        });
        json!({
            "name": name,
            "exists": link.is_some(),
            "kind": link.map(|link| link.kind.to_string()),
            "up": link.map(|link| link.up),
            "mtu": link.map(|link| link.mtu),
            "bridge": bridge.map(|bridge| &bridge.name),
        })
    };
    Ok(of_host.map(|one| end(&one.name)).collect())
}
