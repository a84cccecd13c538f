//! The host's network on a device: the container gets it, the host gets it back, and a failed ADD does not lose it.

use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::conf::host_local;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::{skip, traffic};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::route::{MAIN, RouteSpec, SCOPE_LINK};
use linkspan_netlink::rule::Rule;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, NIC, WIRE, call, files, nic, on_host, within};

const TABLE: u32 = 77;
const ADDRESSES: [&str; 2] = ["10.7.0.5/24", "fd07::5/64"];

fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).unwrap()
}

/// A device with every part of a host's network, and the router at the other end of its wire.
fn configured(lab: &Lab) -> Sandbox {
    nic(lab);
    let router = lab.sandbox();
    let wire = on_host(lab, WIRE);
    wire.move_to(router.netns.as_fd(), WIRE).unwrap();
    let (near, far) = (on_host(lab, NIC), within(&router, WIRE).unwrap());
    far.set_up().unwrap();
    let nodad = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    for (link, addrs) in [(&near, ADDRESSES), (&far, ["10.7.0.1/24", "fd07::1/64"])] {
        for addr in addrs.map(cidr) {
            link.add_addr(addr.ip(), addr.prefix(), nodad).unwrap();
        }
    }
    let route = |dst: &str, gw: Option<&str>| {
        let gw = gw.map(|gw| gw.parse().unwrap());
        let dst = cidr(dst);
        RouteSpec {
            gw,
            ..RouteSpec::to(dst.ip(), dst.prefix())
        }
    };
    let to_gateway = RouteSpec {
        scope: Some(SCOPE_LINK),
        ..route("10.6.0.1/32", None)
    };
    let behind = route("10.8.0.0/16", Some("10.6.0.1"));
    let preferred = RouteSpec {
        priority: 50,
        src: Some(cidr(ADDRESSES[1]).ip()),
        ..route("fd08::/64", Some("fd07::1"))
    };
    let of_table = RouteSpec {
        table: Some(TABLE),
        ..route("0.0.0.0/0", Some("10.7.0.1"))
    };
    for spec in [to_gateway, behind, preferred, of_table] {
        near.add_route(&spec).unwrap();
    }
    for (from, table) in [
        ("10.7.0.0/24", TABLE),
        // Routes and rules for others.
        ("10.9.0.0/24", TABLE),
        ("10.7.0.0/25", TABLE + 1),
    ] {
        lab.rtnl().add_rule(&rule(from, table)).unwrap();
    }
    router
}

fn rule(from: &str, table: u32) -> Rule {
    let from = cidr(from);
    let mut rule = Rule::of_table(Family::V4, table);
    rule.priority = Some(1000);
    rule.src = Some((from.ip(), from.prefix()));
    rule
}

/// The rules of a container about sources, each with its table.
fn rules_of(sandbox: &Sandbox) -> Vec<(Option<u32>, String)> {
    let rules = sandbox.rtnl().rules(Family::V4).unwrap().into_iter();
    let of_sources = rules.filter_map(|rule| {
        let (network, prefix) = rule.src?;
        Some((rule.table, format!("{network}/{prefix}")))
    });
    of_sources.collect()
}

fn told(result: &Value, key: &str) -> Vec<String> {
    let all = result["ips"].as_array().unwrap();
    all.iter()
        .map(|ip| ip[key].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_container_gets_the_hosts_network_and_the_result_tells_it() {
    in_lab(LINKSPAN, |lab| {
        let router = configured(lab);
        let sandbox = lab.sandbox();
        let inside = Snapshot::of_sandbox(&sandbox);
        let over = json!({ "ipam": null, "useInterfaceNetwork": true });
        let pod = call(lab, ("pod", &sandbox), &over);
        let result = pod.add();
        assert_eq!(told(&result, "address"), ADDRESSES);
        let route = |dst: &str, gw: Option<&str>, priority: u32, table, scope| {
            let mut route = json!({ "dst": dst, "table": table, "scope": scope });
            if let Some(gw) = gw {
                route["gw"] = gw.into();
            }
            if priority > 0 {
                route["priority"] = priority.into();
            }
            route
        };
        let expected = [
            route("10.6.0.1/32", None, 0, MAIN, SCOPE_LINK),
            route("10.8.0.0/16", Some("10.6.0.1"), 0, MAIN, 0),
            route("0.0.0.0/0", Some("10.7.0.1"), 0, TABLE, 0),
            route("fd08::/64", Some("fd07::1"), 50, MAIN, 0),
        ];
        let mut routes = result["routes"].as_array().unwrap().clone();
        routes.sort_by_key(|route| expected.iter().position(|expected| expected == route));
        assert_eq!(routes, expected);
        let expected = (Some(TABLE), "10.7.0.0/24".to_owned());
        assert_eq!(rules_of(&sandbox), [expected]);
        for gateway in ["10.7.0.1", "fd07::1"] {
            traffic::flows(&sandbox.netns, &router.netns, gateway.parse().unwrap());
        }
        pod.check(&result);
        pod.after(&result).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        // As with the reference, the host's network manager configures the addresses again.
        assert!(
            on_host(lab, NIC)
                .addrs(Some(Family::V4))
                .unwrap()
                .is_empty()
        );
        assert_eq!(files(lab), [""; 0]);
    });
}

#[test]
fn the_addresses_of_ipam_come_before_those_of_the_host() {
    in_lab(LINKSPAN, |lab| {
        let _router = configured(lab);
        let sandbox = lab.sandbox();
        // One of them is also the host's.
        let ipam = json!({ "type": "static", "addresses": [{ "address": "10.1.0.9/16" }, { "address": "10.7.0.5/24" }] });
        let over = json!({ "ipam": ipam, "useInterfaceNetwork": true });
        let pod = call(lab, ("pod", &sandbox), &over);
        let result = pod.add();
        let addresses = ["10.1.0.9/16", "10.7.0.5/24", "fd07::5/64"];
        assert_eq!(told(&result, "address"), addresses);
        pod.check(&result);
        pod.after(&result).del();
    });
}

#[test]
fn the_host_gets_its_network_back_where_it_is_asked_for() {
    in_lab(LINKSPAN, |lab| {
        let _router = configured(lab);
        let host = Snapshot::of_host(lab);
        for taken in [true, false] {
            let over = json!({ "useInterfaceNetwork": taken, "restoreHostNetwork": true });
            let sandbox = lab.sandbox();
            let pod = call(lab, ("pod", &sandbox), &over);
            let result = pod.add();
            let own = within(&sandbox, "net1").unwrap().addrs(Some(Family::V4));
            assert_eq!(own.unwrap().len(), if taken { 2 } else { 1 });
            assert_eq!(rules_of(&sandbox).len(), usize::from(taken));
            pod.check(&result);
            pod.after(&result).del();
            assert_eq!(Snapshot::of_host(lab), host);
            // The memory counts, whatever the configuration is by then.
            pod.add();
            call(lab, ("pod", &sandbox), &json!({})).netns("").del();
            assert_eq!(Snapshot::of_host(lab), host);
            // The kernel returned the device, and the next ADD has its whole network again.
            pod.add();
            let link = within(&sandbox, "net1").unwrap();
            link.move_to(lab.host().as_fd(), "net1").unwrap();
            let other = lab.sandbox();
            let next = call(lab, ("next", &other), &over);
            let again = next.add();
            assert_eq!(again["routes"], result["routes"]);
            next.del();
            pod.netns("").del();
            assert_eq!(Snapshot::of_host(lab), host);
            assert_eq!(files(lab), [""; 0]);
        }
    });
}

#[test]
fn an_add_that_fails_costs_the_host_nothing() {
    in_lab(LINKSPAN, |lab| {
        let _router = configured(lab);
        let host = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let inside = Snapshot::of_sandbox(&sandbox);
        let mut ipam = host_local(lab, &["10.1.0.0/16"]);
        ipam["routes"] = json!([{ "dst": "10.9.0.0/16", "gw": "10.5.0.1" }]);
        for taken in [true, false] {
            let over = json!({ "ipam": ipam, "useInterfaceNetwork": taken });
            let refused = call(lab, ("pod", &sandbox), &over).verb("ADD").run();
            refused.failed(999);
            assert_eq!(Snapshot::of_host(lab), host);
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        }
    });
}

#[test]
fn an_address_for_a_time_is_lent_if_it_is_of_ipv4() {
    in_lab(LINKSPAN, |lab| {
        nic(lab);
        let Some(ip) = skip::without("ip") else {
            return;
        };
        for addr in ["10.7.0.5/24", "fd07::5/64"] {
            let add = ["addr", "add", addr, "dev", NIC, "nodad"];
            let limits = ["valid_lft", "600", "preferred_lft", "600"];
            let add = Call::new(&ip).args(&[&add[..], &limits].concat());
            add.run().succeeded();
        }
        let sandbox = lab.sandbox();
        let over = json!({ "ipam": null, "useInterfaceNetwork": true });
        let pod = call(lab, ("pod", &sandbox), &over);
        let result = pod.add();
        assert_eq!(told(&result, "address"), ["10.7.0.5/24"]);
        let addrs = within(&sandbox, "net1").unwrap().addrs(Some(Family::V4));
        assert!(addrs.unwrap().iter().all(|addr| addr.permanent));
        pod.after(&result).del();
    });
}
