//! CHECK, promise by promise: each one is broken by itself, and must be named; unbroken ones pass.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The side where a promise is broken.
#[derive(Clone, Copy)]
enum Side {
    Host,
    Pod,
}

use Side::{Host, Pod};

/// Runs a command line of iproute2 on one side; `VETH` is the host's end of the pair.
fn run(sandbox: &Sandbox, side: Side, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let tool = skip::without(words[0]).unwrap();
    let call = Call::new(&tool).args(&words[1..]);
    let done = match side {
        Host => call.run(),
        Pod => sandbox.netns.scope(|| call.run()).unwrap(),
    };
    done.succeeded();
}

/// For each case: a new pod, CHECK, the promise broken, CHECK that names it.
fn breaks(lab: &Lab, conf: &Value, cases: &[(Side, &str, &str)]) {
    for tool in ["ip", "bridge"] {
        if skip::without(tool).is_none() {
            return;
        }
    }
    let plugin = conf["type"].as_str().unwrap();
    for (side, command, named) in cases {
        // The first address is given again for each case.
        drop(fs::remove_dir_all(lab.leases()));
        let sandbox = lab.sandbox();
        let call = lab.plugin(plugin).of("pod", &sandbox).conf(conf);
        let result = call.add();
        call.check(&result);
        let interfaces = result["interfaces"].as_array().unwrap().iter();
        let veth = interfaces
            .filter_map(|item| item["name"].as_str())
            .find(|name| name.starts_with("veth"));
        run(&sandbox, *side, &command.replace("VETH", veth.unwrap()));
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains(named), "{command}: {named}: {told}");
        assert!(told.contains("expected"), "{command}: {told}");
        call.del();
        if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
            bridge.delete().unwrap();
        }
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(format!("/proc/sys/net/{key}"), "0").unwrap();
        }
    }
}

/// The promises of both interface plugins about the pod.
const OF_THE_POD: [(Side, &str, &str); 7] = [
    (Pod, "ip addr del 10.1.0.2/16 dev eth0", "10.1.0.2/16"),
    (Pod, "ip -6 addr del fd00:1::2/64 dev eth0", "fd00:1::2/64"),
    (Pod, "ip route del default", "route to 0.0.0.0/0"),
    (Pod, "ip -6 route del default", "route to ::/0"),
    (Pod, "ip link set eth0 down", "eth0"),
    (
        Pod,
        "ip link set eth0 address 02:00:00:00:00:09",
        "hardware address of \"eth0\"",
    ),
    (Pod, "ip link set eth0 name other", "\"eth0\""),
];

#[test]
fn a_bridge_keeps_its_promises() {
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(
            lab,
            &json!({ "ipMasq": true, "hairpinMode": true, "portIsolation": true, "mtu": 1400 }),
        );
        breaks(lab, &conf, &OF_THE_POD);
        let of_the_host = [
            (Host, "ip link set br0 down", "br0"),
            (
                Host,
                "ip link set br0 address 02:00:00:00:00:09",
                "hardware address of \"br0\"",
            ),
            (Host, "ip addr del 10.1.0.1/16 dev br0", "10.1.0.1/16"),
            (Host, "ip -6 addr del fd00:1::1/64 dev br0", "fd00:1::1/64"),
            (Host, "ip link set VETH nomaster", "a port of br0"),
            (Host, "ip link set VETH mtu 1300", "veth"),
            (Host, "ip link set VETH down", "veth"),
            (
                Host,
                "bridge link set dev VETH hairpin off",
                "hairpin mode of port",
            ),
            (
                Host,
                "bridge link set dev VETH isolated off",
                "isolation of port",
            ),
            (Host, "ip link set VETH name other", "veth"),
        ];
        breaks(lab, &conf, &of_the_host);
    });
}

#[test]
fn a_pair_keeps_its_promises() {
    of_pair("veth");
}

#[test]
fn a_netkit_pair_keeps_its_promises() {
    of_pair("netkit");
}

fn of_pair(device: &str) {
    in_lab(LINKSPAN, |lab| {
        if !skip::has_pair(&lab.rtnl(), device) {
            return;
        }
        let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
        ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": "ptp", "device": device });
        let conf = with(base, &json!({ "ipMasq": true, "mtu": 1400, "ipam": ipam }));
        breaks(lab, &conf, &OF_THE_POD);
        let of_the_host = [
            (Host, "ip addr del 10.1.0.1/32 dev VETH", "10.1.0.1/32"),
            (
                Host,
                "ip -6 addr del fd00:1::1/128 dev VETH",
                "fd00:1::1/128",
            ),
            (
                Host,
                "ip route del 10.1.0.2/32 dev VETH",
                "route to 10.1.0.2",
            ),
            (Host, "ip link set VETH mtu 1300", "veth"),
            (Host, "ip link set VETH down", "veth"),
        ];
        breaks(lab, &conf, &of_the_host);
    });
}

#[test]
fn leases_forwarding_and_masquerade_are_promises_too() {
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(lab, &json!({ "ipMasq": true }));
        let sandbox = lab.sandbox();
        let call = lab.plugin("bridge").of("pod", &sandbox).conf(&conf);
        let result = call.add();
        let told = || call.after(&result).verb("CHECK").run().failed(999);
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            call.check(&result);
            let path = format!("/proc/sys/net/{key}");
            fs::write(&path, "0").unwrap();
            assert!(told().contains(key), "{key}: {}", told());
            fs::write(&path, "1").unwrap();
        }
        call.check(&result);
        let cleared = lab.linkspan(&["clear"]).run();
        cleared.succeeded();
        assert!(told().contains("table inet linkspan"), "{}", told());
        // The same attachment's masquerade returns with the next pod's table, but not by itself.
        fs::remove_file(lab.leases().join("net/10.1.0.2")).unwrap();
        fs::remove_file(lab.leases().join("net/fd00:1::2")).unwrap();
        assert!(told().contains("pod"), "{}", told());
    });
}

/// Changes by later plugins of a list, with their own tools: those of the Go suite if installed.
#[test]
fn check_allows_for_what_later_plugins_changed() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("sbr") else { return };
        let later = [
            json!({ "type": "tuning", "mtu": 1300 }),
            json!({ "type": "tuning", "mac": "02:00:00:00:00:77" }),
            json!({ "type": "sbr" }),
        ];
        for plugin in ["bridge", "ptp"] {
            let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
            ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
            let own = json!({ "cniVersion": "1.0.0", "type": plugin, "mtu": 1400, "ipam": ipam });
            let conf = with(bridge(lab, &json!({})), &own);
            for later in &later {
                let sandbox = lab.sandbox();
                let call = lab.plugin(plugin).of("pod", &sandbox).conf(&conf);
                let result = call.add();
                let previous =
                    json!({ "cniVersion": "1.0.0", "name": "net", "prevResult": result });
                let kind = later["type"].as_str().unwrap();
                let chained = lab.foreign(go, kind).of("pod", &sandbox);
                let result = chained.conf(&with(previous, later)).add();
                call.check(&result);
                call.del();
            }
        }
    });
}

#[test]
fn an_mtu_that_the_result_tells_is_a_promise() {
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(lab, &json!({ "mtu": 1400 }));
        let sandbox = lab.sandbox();
        let call = lab.plugin("bridge").of("pod", &sandbox).conf(&conf);
        let mut result = call.add();
        result["interfaces"][2]["mtu"] = json!(1400);
        call.check(&result);
        result["interfaces"][2]["mtu"] = json!(1300);
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains("expected 1300, found 1400"), "{told}");
    });
}

#[test]
fn a_route_of_several_next_hops_is_each_of_them() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("ip").is_none() {
            return;
        }
        let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
        ipam["routes"] = json!([{ "dst": "fd09::/64", "gw": "fd00:1::7" }, { "dst": "fd09::/64", "gw": "fd00:1::8" },
            { "dst": "10.9.0.0/16", "gw": "10.1.0.7" }]);
        let conf = bridge(lab, &json!({ "ipam": ipam }));
        let sandbox = lab.sandbox();
        let call = lab.plugin("bridge").of("pod", &sandbox).conf(&conf);
        let result = call.add();
        call.check(&result);
        run(
            &sandbox,
            Pod,
            "ip route replace 10.9.0.0/16 nexthop via 10.1.0.7 nexthop via 10.1.0.8",
        );
        call.check(&result);
        run(&sandbox, Pod, "ip -6 route del fd09::/64 via fd00:1::8");
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains("fd00:1::8"), "{told}");
    });
}
