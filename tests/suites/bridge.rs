//! `bridge`: each key of its configuration, with packets where packets are the point, and the swap with the Go plugin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::Link;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const GATEWAYS: [&str; 2] = ["10.1.0.1", "fd00:1::1"];

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("bridge").of(id, sandbox);
    call.conf(&bridge(lab, over))
}

fn eth0(sandbox: &Sandbox) -> Link {
    sandbox.rtnl().link_by_name("eth0").unwrap().unwrap()
}

fn on_host(lab: &Lab, name: &str) -> Link {
    lab.rtnl().link_by_name(name).unwrap().unwrap()
}

/// The host's end of an attachment.
fn port(lab: &Lab, result: &Value) -> Link {
    on_host(lab, result["interfaces"][1]["name"].as_str().unwrap())
}

fn reach(from: &Sandbox, to: &Sandbox, addresses: &[&str]) {
    for address in addresses {
        traffic::flows(&from.netns, &to.netns, address.parse().unwrap());
    }
}

fn reach_gateways(lab: &Lab, from: &Sandbox) {
    for address in GATEWAYS {
        traffic::flows(&from.netns, lab.host(), address.parse().unwrap());
    }
}

/// Shortens the wait for a missing neighbour from three seconds. The kernel reports it with ICMP through `lo`.
fn impatient(sandbox: &Sandbox) {
    let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
    lo.set_up().unwrap();
    let write = || {
        for family in ["ipv4", "ipv6"] {
            let file = format!("/proc/sys/net/{family}/neigh/eth0/retrans_time_ms");
            fs::write(file, "200").unwrap();
        }
    };
    sandbox.netns.scope(write).unwrap();
}

#[test]
fn two_pods_talk_to_each_other_and_to_the_gateway() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let pods = [("a", &a), ("b", &b)];
        let of = |(id, sandbox)| call(lab, id, sandbox, &json!({}));
        let results = pods.map(|pod| of(pod).add());
        reach(&a, &b, &["10.1.0.3", "fd00:1::3"]);
        reach(&b, &a, &["10.1.0.2", "fd00:1::2"]);
        reach_gateways(lab, &a);
        for (pod, result) in pods.into_iter().zip(&results) {
            of(pod).check(result);
            of(pod).del();
            of(pod).after(result).verb("CHECK").run().failed(999);
            assert_eq!(pod.1.rtnl().links().unwrap().len(), 1);
        }
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(lab.rtnl().links().unwrap().len(), 2);
    });
}

#[test]
fn the_result_tells_what_the_kernel_has() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let dns = json!({ "nameservers": ["10.1.0.53"] });
        let over = json!({ "mtu": 1400, "dns": dns });
        let result = call(lab, "a", &sandbox, &over).add();
        let told = |at: usize, key: &str| result["interfaces"][at][key].as_str();
        assert_eq!((told(0, "name"), told(0, "sandbox")), (Some("br0"), None));
        assert!(told(1, "name").unwrap().starts_with("veth"));
        assert_eq!(told(1, "sandbox"), None);
        assert_eq!(told(2, "sandbox"), Some(sandbox.path().as_str()));
        let links = [on_host(lab, "br0"), port(lab, &result), eth0(&sandbox)];
        for (at, link) in links.iter().enumerate() {
            assert_eq!(told(at, "name"), Some(link.name.as_str()));
            assert_eq!(told(at, "mac"), Some(mac(link).as_str()));
            assert!(link.up && link.mtu == 1400, "{link:?}");
        }
        let default = |gw: &str, dst: &str| json!({ "dst": dst, "gw": gw });
        assert_eq!(result["dns"], dns);
        assert_eq!(
            result["routes"],
            json!([
                default("10.1.0.1", "0.0.0.0/0"),
                default("fd00:1::1", "::/0")
            ])
        );
    });
}

fn mac(link: &Link) -> String {
    link.mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn the_containers_mac_comes_from_the_first_who_asks() {
    in_lab(LINKSPAN, |lab| {
        let by_runtime = json!({ "mac": "02:00:00:00:00:01" });
        let by_args = json!({ "cni": { "mac": "02-00-00-00-00-02" } });
        let all = json!({ "runtimeConfig": by_runtime, "args": by_args });
        let cases = [
            (all, "02:00:00:00:00:01"),
            (json!({ "args": by_args }), "02:00:00:00:00:02"),
            (json!({}), "02:00:00:00:00:03"),
        ];
        for (at, (over, expected)) in cases.iter().enumerate() {
            let sandbox = lab.sandbox();
            let call = call(lab, &format!("pod{at}"), &sandbox, over);
            // The IPAM plugin reads the same variable, and does not know the key.
            let call = call.env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:03");
            let result = call.add();
            assert_eq!(result["interfaces"][2]["mac"], *expected);
            assert_eq!(mac(&eth0(&sandbox)), *expected);
            call.check(&result);
        }
    });
}

#[test]
fn force_address_replaces_what_is_in_the_way_and_nothing_else() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        call(lab, "a", &a, &json!({})).add();
        let addresses = || {
            let addrs = on_host(lab, "br0").addrs(None).unwrap();
            let global = addrs.iter().filter(|addr| addr.scope == 0);
            let mut told: Vec<_> = global.map(|a| format!("{}/{}", a.ip, a.prefix)).collect();
            told.sort();
            told
        };
        assert_eq!(addresses(), ["10.1.0.1/16", "fd00:1::1/64"]);
        let ipam = host_local(lab, &["10.9.0.0/16", "fd00:9::/64"]);
        let over = json!({ "name": "other", "forceAddress": true, "ipam": ipam });
        call(lab, "b", &b, &over).add();
        assert_eq!(addresses(), ["10.9.0.1/16", "fd00:1::1/64", "fd00:9::1/64"]);
        for gateway in ["10.9.0.1", "fd00:9::1"] {
            traffic::flows(&b.netns, lab.host(), gateway.parse().unwrap());
        }
    });
}

#[test]
fn isolated_pods_reach_the_gateway_and_not_each_other() {
    in_lab(LINKSPAN, |lab| {
        let (a, b, open) = (lab.sandbox(), lab.sandbox(), lab.sandbox());
        let isolated = json!({ "portIsolation": true });
        let result = call(lab, "a", &a, &isolated).add();
        impatient(&a);
        call(lab, "b", &b, &isolated).add();
        call(lab, "open", &open, &json!({})).add();
        assert_eq!(port(lab, &result).isolated, Some(true));
        for address in ["10.1.0.3:80", "[fd00:1::3]:80"] {
            let refused =
                linkspan_cli::traffic::connect(&a.netns, address.parse().unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::HostUnreachable, "{address}");
        }
        for pod in [&a, &b] {
            reach_gateways(lab, pod);
            reach(pod, &open, &["10.1.0.4", "fd00:1::4"]);
        }
    });
}

#[test]
fn in_hairpin_mode_a_frame_returns_by_the_port_it_came_from() {
    in_lab(LINKSPAN, |lab| {
        for hairpin in [false, true] {
            let sandbox = lab.sandbox();
            let over = json!({ "hairpinMode": hairpin });
            let result = call(lab, &format!("pod-{hairpin}"), &sandbox, &over).add();
            assert_eq!(port(lab, &result).hairpin, Some(hairpin));
            let socket = sandbox.netns.scope(|| UdpSocket::bind("[::]:7000"));
            let socket = socket.unwrap().unwrap();
            socket.set_multicast_loop_v6(false).unwrap();
            let all_nodes = "ff02::1".parse().unwrap();
            let group = SocketAddrV6::new(all_nodes, 7000, 0, eth0(&sandbox).index);
            socket.send_to(b"own", group).unwrap();
            // Frames stay in order, so the first one shows whether our own came at all.
            let host = lab.host().scope(|| UdpSocket::bind("[::]:0"));
            let ip: Ipv6Addr = address(&result, 1).parse().unwrap();
            let sent = host.unwrap().unwrap();
            sent.send_to(b"host", (ip, 7000)).unwrap();
            let mut buffer = [0; 4];
            let (len, _) = socket.recv_from(&mut buffer).unwrap();
            let expected: &[u8] = if hairpin { b"own" } else { b"host" };
            assert_eq!(&buffer[..len], expected);
        }
    });
}

fn address(result: &Value, at: usize) -> String {
    let cidr = result["ips"][at]["address"].as_str().unwrap();
    cidr.split('/').next().unwrap().to_owned()
}

#[test]
fn a_promiscuous_bridge_is_so_once() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "promiscMode": true });
        let (a, b) = (lab.sandbox(), lab.sandbox());
        call(lab, "a", &a, &json!({})).add();
        assert_eq!(on_host(lab, "br0").promiscuity, 0);
        let b = call(lab, "b", &b, &over);
        let result = b.add();
        let a = call(lab, "c", &a, &over).env("CNI_IFNAME", "eth1");
        a.add();
        assert_eq!(on_host(lab, "br0").promiscuity, 1);
        b.check(&result);
    });
}

#[test]
fn without_ipam_it_is_a_layer_2_network() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let over = json!({ "ipam": null });
        let calls = [("a", &a), ("b", &b)].map(|(id, sandbox)| call(lab, id, sandbox, &over));
        let results = calls.each_ref().map(Call::add);
        assert_eq!(results[0].get("ips"), None);
        assert_eq!(results[0]["interfaces"].as_array().unwrap().len(), 3);
        for (sandbox, last) in [(&a, 2u8), (&b, 3)] {
            let ip = [192, 168, 7, last].into();
            eth0(sandbox)
                .add_addr(ip, 24, AddrFlags::default())
                .unwrap();
        }
        reach(&a, &b, &["192.168.7.3"]);
        for (call, result) in calls.iter().zip(&results) {
            call.clone().verb("STATUS").run().succeeded();
            call.check(result);
            call.del();
        }
        let names: Vec<_> = lab
            .rtnl()
            .links()
            .unwrap()
            .into_iter()
            .map(|l| l.name)
            .collect();
        assert_eq!(names, ["lo", "br0"]);
        let down = json!({ "ipam": null, "disableContainerInterface": true });
        let call = call(lab, "down", &a, &down);
        call.check(&call.add());
        assert!(!eth0(&a).up);
    });
}

#[test]
fn duplicate_address_detection_is_over_when_add_returns() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, "a", &sandbox, &json!({ "enabledad": true }));
        let result = call.add();
        let addrs = eth0(&sandbox).addrs(Some(Family::V6)).unwrap();
        let given = addrs.iter().find(|addr| addr.scope == 0).unwrap();
        assert!(!given.tentative && !given.dad_failed, "{given:?}");
        reach_gateways(lab, &sandbox);
        call.check(&result);
    });
}

#[test]
fn a_duplicate_address_is_an_error_that_names_it() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        call(lab, "a", &a, &json!({})).add();
        let before = Snapshot::of_host(lab);
        // Another network with separate leases gives the same address.
        let over = json!({ "name": "other", "enabledad": true });
        let told = call(lab, "b", &b, &over).verb("ADD").run().failed(999);
        assert!(told.contains("fd00:1::2"), "{told}");
        assert_eq!(Snapshot::of_host(lab), before);
        assert_eq!(b.rtnl().links().unwrap().len(), 1);
        reach_gateways(lab, &a);
    });
}

#[test]
fn each_suite_takes_over_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("bridge") else {
            return;
        };
        for version in ["0.4.0", "1.0.0"] {
            let sandbox = lab.sandbox();
            let conf = bridge(lab, &json!({ "cniVersion": version }));
            let ours = lab.plugin("bridge").of("a", &sandbox).conf(&conf);
            let theirs = lab.foreign(go, "bridge").of("a", &sandbox).conf(&conf);
            for (one, other) in [(&theirs, &ours), (&ours, &theirs)] {
                let result = one.add();
                traffic::flows(&sandbox.netns, lab.host(), GATEWAYS[0].parse().unwrap());
                other.check(&result);
                other.after(&result).del();
                assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
                assert_eq!(lab.rtnl().links().unwrap().len(), 2);
                assert_eq!(lab.leased("net"), [""; 0]);
            }
        }
    });
}

#[test]
fn the_gateways_of_one_add_are_not_in_each_others_way() {
    in_lab(LINKSPAN, |lab| {
        let subnets = ["10.1.0.0/16", "10.2.0.0/16", "fd00:1::/64", "fd00:2::/64"];
        let over = json!({ "forceAddress": true, "ipam": host_local(lab, &subnets) });
        let conf = bridge(lab, &over);
        let (first, second) = (lab.sandbox(), lab.sandbox());
        for (id, sandbox) in [("a", &first), ("b", &second)] {
            let call = lab.plugin("bridge").of(id, sandbox).conf(&conf);
            let result = call.add();
            call.check(&result);
        }
        // The addresses of another ADD still are.
        let over = json!({ "forceAddress": true, "ipam": host_local(lab, &["10.3.0.0/16"]), "name": "other" });
        let third = lab.sandbox();
        lab.plugin("bridge")
            .of("c", &third)
            .conf(&bridge(lab, &over))
            .add();
        let br0 = lab.rtnl().link_by_name("br0").unwrap().unwrap();
        let four = br0.addrs(Some(Family::V4)).unwrap();
        let four: Vec<_> = four.iter().map(|addr| addr.ip.to_string()).collect();
        assert_eq!(four, ["10.3.0.1"]);
    });
}

#[test]
fn ipv6_that_is_switched_off_is_not_told_as_missing_rights() {
    in_lab(LINKSPAN, |lab| {
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let sandbox = lab.sandbox();
        let call = lab.plugin("bridge").of("a", &sandbox);
        let told = call.conf(&bridge(lab, &json!({}))).verb("ADD").run();
        let told = told.failed(999);
        assert!(
            told.contains("add address fd00:1::1/64 on br0: permission denied"),
            "{told}"
        );
        assert!(told.contains("IPv6 is switched off there"), "{told}");
        assert!(!told.contains("root"), "{told}");
    });
}
