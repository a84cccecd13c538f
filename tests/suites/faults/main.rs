//! Nothing is lost if a system call fails or the process dies at it. A failed ADD leaves the host and the container in
//! their initial state. After any other fault, one DEL or one GC restores it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod aftermath;
mod executed;
mod memory;
mod site;

use linkspan_harness::conf::{bridge, fixed, host_local, master, with};
use linkspan_harness::lab::Lab;
use linkspan_harness::nic;
use linkspan_harness::skip;
use serde_json::{Value, json};

use aftermath::withstands;
use site::Case;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

const V4: &[&str] = &["10.1.0.0/16"];
const DUAL: &[&str] = &["10.1.0.0/16", "fd00:1::/64"];

fn conf(kind: &str, over: &Value) -> Value {
    let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": kind });
    with(base, over)
}

fn on_bridge(lab: &Lab, subnets: &[&str]) -> Value {
    let over = json!({ "ipMasq": true, "ipam": host_local(lab, subnets) });
    bridge(lab, &over)
}

fn pair(lab: &Lab, subnets: &[&str]) -> Value {
    conf(
        "ptp",
        &json!({ "ipMasq": true, "ipam": host_local(lab, subnets) }),
    )
}

/// The port with both protocols.
fn ports(port: u16) -> Value {
    let mapping =
        |protocol: &str| json!({ "hostPort": port, "containerPort": 80, "protocol": protocol });
    let mappings = [mapping("tcp"), mapping("udp")];
    conf(
        "portmap",
        &json!({ "runtimeConfig": { "portMappings": mappings } }),
    )
}

#[test]
fn loopback() {
    withstands(Case::first("loopback", |_, _| {
        vec![conf("loopback", &json!({}))]
    }));
}

#[test]
fn host_local_alone() {
    withstands(Case::first("host-local", |lab, _| {
        vec![conf(
            "host-local",
            &json!({ "ipam": host_local(lab, DUAL) }),
        )]
    }));
}

#[test]
fn dummy() {
    withstands(Case::first("dummy, dual stack", |lab, _| {
        vec![conf(
            "dummy",
            &json!({ "mtu": 1400, "ipam": host_local(lab, DUAL) }),
        )]
    }));
}

#[test]
fn a_macvlan() {
    withstands(Case::first("macvlan, dual stack", |lab, _| {
        let over = json!({ "master": master(lab), "mtu": 1400, "ipam": host_local(lab, DUAL) });
        vec![conf("macvlan", &over)]
    }));
}

#[test]
fn a_macvlan_that_asks_for_others_with_its_addresses() {
    withstands(Case::first("macvlan, conflictCheck", |lab, _| {
        let over =
            json!({ "master": master(lab), "conflictCheck": true, "ipam": host_local(lab, DUAL) });
        vec![conf("macvlan", &over)]
    }));
}

#[test]
fn a_device_that_asks_for_others_with_its_addresses() {
    withstands(Case::first("host-device, conflictCheck", |lab, port| {
        let name = format!("nic{port}");
        nic::make(lab, &name, &[("10.1.0.1", 16)]);
        let dir = lab.dir().join("host-device");
        let over = json!({
            "device": name, "dataDir": dir, "conflictCheck": true, "ipam": host_local(lab, V4),
        });
        vec![conf("host-device", &over)]
    }));
}

#[test]
fn a_device_of_the_host() {
    withstands(Case::first("host-device", |lab, port| {
        let name = format!("nic{port}");
        nic::make(lab, &name, &[("10.1.0.1", 16)]);
        let dir = lab.dir().join("host-device");
        let over = json!({ "device": name, "dataDir": dir, "ipam": host_local(lab, V4) });
        vec![conf("host-device", &over)]
    }));
}

#[test]
fn an_ipvlan() {
    withstands(Case::first("ipvlan, dual stack", |lab, _| {
        let over = json!({ "master": master(lab), "mtu": 1400, "ipam": host_local(lab, DUAL) });
        vec![conf("ipvlan", &over)]
    }));
}

#[test]
fn host_reach_behind_a_macvlan() {
    withstands(Case::second("macvlan and host-reach", |lab, _| {
        reached(lab, master(lab))
    }));
}

#[test]
fn host_reach_on_a_master_of_its_own() {
    withstands(Case::second(
        "macvlan and host-reach, first",
        |lab, port| {
            let name = format!("nic{port}");
            nic::make(lab, &name, &[]);
            reached(lab, &name)
        },
    ));
}

/// A macvlan on a master, which the host reaches.
fn reached(lab: &Lab, master: &str) -> Vec<Value> {
    let over = json!({ "master": master, "ipam": host_local(lab, DUAL) });
    let dir = lab.dir().join("host-reach");
    vec![
        conf("macvlan", &over),
        conf("host-reach", &json!({ "dataDir": dir })),
    ]
}

#[test]
fn a_vlan() {
    withstands(Case::first("vlan, dual stack", |lab, port| {
        let over = json!({
            "master": master(lab), "vlanId": port - 8000, "mtu": 1400, "ipam": host_local(lab, DUAL),
        });
        vec![conf("vlan", &over)]
    }));
}

#[test]
fn a_device_with_the_hosts_network() {
    withstands(Case::first("host-device, network", |lab, port| {
        let name = format!("nic{port}");
        nic::make(lab, &name, &[("10.1.0.1", 16)]);
        nic::configure(lab, &name, "10.7.0.5", "10.8.0.0");
        let over = json!({
            "device": name,
            "dataDir": lab.dir().join("host-device"),
            "useInterfaceNetwork": true,
            "restoreHostNetwork": true,
        });
        vec![conf("host-device", &over)]
    }));
}

#[test]
fn a_tap_device() {
    withstands(Case::first("tap, dual stack", |lab, _| {
        let over = json!({ "mtu": 1400, "owner": 0, "group": 0, "ipam": host_local(lab, DUAL) });
        vec![conf("tap", &over)]
    }));
}

#[test]
fn static_alone() {
    withstands(Case::first("static", |_, _| {
        vec![conf("static", &json!({ "ipam": fixed(&["10.1.0.7/16"]) }))]
    }));
}

#[test]
fn a_bridge() {
    withstands(Case::first("bridge, IPv4", |lab, _| {
        vec![on_bridge(lab, V4)]
    }));
}

#[test]
fn a_guarded_port_of_a_bridge() {
    withstands(Case::first("bridge with macspoofchk", |lab, _| {
        let over = json!({ "macspoofchk": true, "ipam": host_local(lab, V4) });
        vec![bridge(lab, &over)]
    }));
}

#[test]
fn a_dual_stack_bridge() {
    withstands(Case::first("bridge, dual stack", |lab, _| {
        vec![on_bridge(lab, DUAL)]
    }));
}

#[test]
fn a_pair() {
    withstands(Case::first("ptp, IPv4", |lab, _| vec![pair(lab, V4)]));
}

#[test]
fn a_dual_stack_pair() {
    withstands(Case::first("ptp, dual stack", |lab, _| {
        vec![pair(lab, DUAL)]
    }));
}

#[test]
fn a_netkit_pair() {
    withstands(Case::first("ptp with netkit, dual stack", |lab, _| {
        vec![with(pair(lab, DUAL), &json!({ "device": "netkit" }))]
    }));
}

/// Every setting of the link, and a sysctl.
fn tuned(lab: &Lab) -> Value {
    conf(
        "tuning",
        &json!({
            "dataDir": lab.dir().join("tuning"),
            "sysctl": { "net.core.somaxconn": "500" },
            "mac": "02:00:00:00:00:07",
            "promisc": true,
            "mtu": 1400,
            "allmulti": true,
            "txQLen": 500,
        }),
    )
}

#[test]
fn tuning_behind_a_bridge() {
    withstands(Case::second("bridge and tuning", |lab, _| {
        vec![on_bridge(lab, V4), tuned(lab)]
    }));
}

#[test]
fn sbr_behind_a_bridge() {
    withstands(Case::second("bridge and sbr, dual stack", |lab, _| {
        vec![
            on_bridge(lab, DUAL),
            conf("sbr", &json!({ "oifRule": true })),
        ]
    }));
}

#[test]
fn sbr_with_hints_behind_a_pair() {
    withstands(Case::second("ptp and sbr with hints", |lab, _| {
        let over = json!({ "addSourceHints": true });
        vec![pair(lab, DUAL), conf("sbr", &over)]
    }));
}

#[test]
fn route_override_behind_a_pair() {
    withstands(Case::second("ptp and route-override", |lab, _| {
        let over = json!({ "flushroutes": true, "addroutes": [{ "dst": "10.9.0.0/16", "gw": "10.1.0.1" }] });
        vec![pair(lab, DUAL), conf("route-override", &over)]
    }));
}

#[test]
fn vrf_behind_a_pair() {
    withstands(Case::second("ptp and vrf, dual stack", |lab, _| {
        vec![pair(lab, DUAL), conf("vrf", &json!({ "vrfname": "blue" }))]
    }));
}

/// Limits of both directions, by the runtime.
fn limits(shape_in: &str) -> Value {
    let rates = json!({
        "ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000, "egressBurst": 8_000_000,
    });
    let over = json!({ "runtimeConfig": { "bandwidth": rates }, "shapeIn": shape_in });
    conf("bandwidth", &over)
}

#[test]
fn bandwidth_behind_a_bridge() {
    withstands(Case::second("bridge and bandwidth", |lab, _| {
        vec![on_bridge(lab, V4), limits("host")]
    }));
}

#[test]
fn bandwidth_of_a_pair_with_subnets() {
    withstands(Case::second("ptp and bandwidth of subnets", |lab, _| {
        let subnets = json!({ "unshapedSubnets": ["10.0.0.0/8", "fd00::/8"] });
        vec![pair(lab, DUAL), with(limits("host"), &subnets)]
    }));
}

/// A policy, in our table alone and in that of iptables.
fn guarded(backend: &str) -> Value {
    let over = json!({ "backend": backend, "ingressPolicy": "isolated", "allowPublished": true });
    conf("firewall", &over)
}

#[test]
fn firewall_behind_a_bridge() {
    withstands(Case::second("bridge and firewall", |lab, _| {
        vec![on_bridge(lab, DUAL), guarded("nftables")]
    }));
}

#[test]
fn firewall_in_iptables_behind_a_bridge() {
    if skip::without("iptables-nft-restore").is_some() {
        withstands(Case::second("bridge and firewall, iptables", |lab, _| {
            vec![on_bridge(lab, DUAL), guarded("iptables")]
        }));
    }
}

#[test]
fn ports_behind_a_bridge() {
    withstands(Case::second("bridge and portmap, IPv4", |lab, port| {
        vec![on_bridge(lab, V4), ports(port)]
    }));
}

#[test]
fn ports_behind_a_dual_stack_pair() {
    withstands(Case::second("ptp and portmap, dual stack", |lab, port| {
        vec![pair(lab, DUAL), ports(port)]
    }));
}
