//! Configurations for the suites, and parts of results.

use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_netlink::link::{Kind, LinkSpec, Peer};
use serde_json::{Value, json};

use crate::lab::Lab;

/// `base` with the members of `over`; a null member removes one.
#[must_use]
pub fn with(mut base: Value, over: &Value) -> Value {
    let (Some(members), Some(over)) = (base.as_object_mut(), over.as_object()) else {
        return over.clone();
    };
    for (key, value) in over {
        if value.is_null() {
            members.remove(key);
        } else {
            members.insert(key.clone(), value.clone());
        }
    }
    base
}

/// The addresses of a result, without the length of their prefixes.
#[must_use]
pub fn addresses(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"].as_array().unwrap().iter();
    let of = |ip: &Value| {
        let (ip, _) = ip["address"].as_str().unwrap().split_once('/').unwrap();
        ip.parse().unwrap()
    };
    ips.map(of).collect()
}

/// A host-local section with leases in the lab.
#[must_use]
pub fn host_local(lab: &Lab, subnets: &[&str]) -> Value {
    let ranges: Vec<Value> = subnets
        .iter()
        .map(|subnet| json!([{ "subnet": subnet }]))
        .collect();
    json!({
        "type": "host-local",
        "dataDir": lab.leases(),
        "ranges": ranges,
        "routes": [],
    })
}

/// A static section with these addresses.
#[must_use]
pub fn fixed(addresses: &[&str]) -> Value {
    let each = |address: &&str| json!({ "address": address });
    let addresses: Vec<Value> = addresses.iter().map(each).collect();
    json!({ "type": "static", "addresses": addresses })
}

/// A dual-stack bridge network with a gateway, changed by `over`.
#[must_use]
pub fn bridge(lab: &Lab, over: &Value) -> Value {
    let base = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "bridge": "br0",
        "isDefaultGateway": true,
        "ipam": host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]),
    });
    with(base, over)
}

/// A list that keeps all that it keeps in the lab's own directories.
#[must_use]
pub fn in_lab_alone(lab: &Lab, mut list: Value) -> Value {
    for plugin in list["plugins"].as_array_mut().unwrap() {
        if let Some(ipam) = plugin.get_mut("ipam") {
            ipam["dataDir"] = json!(lab.leases());
        }
        for kind in ["host-device", "host-reach", "tuning"] {
            if plugin["type"] == kind {
                plugin["dataDir"] = json!(lab.dir().join(kind));
            }
        }
    }
    list
}

/// A link of the host for others to be born on, which is made where it is missing: one end of a pair.
pub fn master(lab: &Lab) -> &'static str {
    const MASTER: &str = "master0";
    let host = lab.rtnl();
    if host.link_by_name(MASTER).unwrap().is_none() {
        let far = Peer::new("master1", lab.host().as_fd());
        let near = LinkSpec::new(MASTER, Kind::Veth);
        host.create_pair(&near, &far).unwrap();
        for end in [MASTER, "master1"] {
            host.link_by_name(end).unwrap().unwrap().set_up().unwrap();
        }
    }
    MASTER
}

/// A working configuration of `plugin`.
#[must_use]
pub fn good(lab: &Lab, plugin: &str) -> Value {
    let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": plugin });
    match plugin {
        "bridge" => bridge(lab, &json!({})),
        // The test creates the device.
        "host-device" => {
            let dir = lab.dir().join("host-device");
            let over = json!({ "device": "nic0", "dataDir": dir, "ipam": host_local(lab, &["10.1.0.0/16"]) });
            with(base, &over)
        }
        "host-reach" => {
            let previous = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.7/16" }] });
            let dir = lab.dir().join("host-reach");
            with(base, &json!({ "dataDir": dir, "prevResult": previous }))
        }
        "loopback" => base,
        "firewall" | "route-override" | "sbr" => {
            let previous = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.7/16" }] });
            with(base, &json!({ "prevResult": previous }))
        }
        "ipvlan" | "macvlan" | "vlan" => {
            let ipam = host_local(lab, &["10.1.0.0/16"]);
            with(base, &json!({ "master": master(lab), "ipam": ipam }))
        }
        "tuning" => {
            let previous = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.7/16" }] });
            let dir = lab.dir().join("tuning");
            with(
                base,
                &json!({ "dataDir": dir, "mtu": 1400, "prevResult": previous }),
            )
        }
        "vrf" => {
            let previous = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.7/16" }] });
            with(base, &json!({ "vrfname": "blue", "prevResult": previous }))
        }
        "static" => with(base, &json!({ "ipam": fixed(&["10.1.0.7/16"]) })),
        _ => with(base, &json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) })),
    }
}
