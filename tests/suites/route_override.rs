//! `route-override`: deleted and added routes, in every table and in the result, undo, CHECK, and DEL with an
//! interface that stays.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::IpAddr;

use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::stored::Stored;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
/// The place of the plugin in the list.
const LAST: usize = 1;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An interface with a gateway and a route of each family, followed by the plugin with these keys.
fn chain(lab: &Lab, sandbox: &Sandbox, over: &Value) -> Chain {
    let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
    ipam["routes"] = json!([
        { "dst": "10.50.0.0/16", "gw": "10.1.0.9" },
        { "dst": "fd50::/64", "gw": "fd00:1::9", "priority": 77 },
    ]);
    let bridge =
        json!({ "type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": ipam });
    let own = with(json!({ "type": "route-override" }), over);
    Chain::new(lab, "pod", sandbox, "eth0", &[bridge, own])
}

/// The routes of a container in tables other than `local` that rules lead to.
fn routes(sandbox: &Sandbox) -> Vec<String> {
    let families = Family::BOTH.map(|family| sandbox.rtnl().stored_routes(family).unwrap());
    let all = families.concat();
    let in_effect = all
        .iter()
        .filter(|route| route.table() < 255 && route.is_unicast());
    let told = in_effect
        .map(Stored::describe)
        .filter(|told| !told.starts_with("fe80::"));
    told.collect()
}

/// The interface, its result, and the container, before the plugin.
fn attached(lab: &Lab, sandbox: &Sandbox, over: &Value) -> (Chain, Value, Snapshot) {
    let chain = chain(lab, sandbox, over);
    let result = chain.call(0, &Value::Null).add();
    let before = Snapshot::of_sandbox(sandbox);
    (chain, result, before)
}

#[test]
fn each_key_changes_the_container_and_the_result_and_del_puts_everything_back() {
    in_lab(LINKSPAN, |lab| {
        let connected = ["10.1.0.0/16 in table 254", "fd00:1::/64 in table 254"];
        let defaults = [
            "0.0.0.0/0 via 10.1.0.1 in table 254",
            "::/0 via fd00:1::1 in table 254",
        ];
        let far = [
            "10.50.0.0/16 via 10.1.0.9 in table 254",
            "fd50::/64 via fd00:1::9 in table 254",
        ];
        let added = ["10.60.0.0/16 via 10.1.0.8 in table 254"];
        let add = json!([{ "dst": "10.60.0.0/16", "gw": "10.1.0.8" }]);
        let del = json!([{ "dst": "10.50.0.0/16" }, { "dst": "fd50::/64", "gw": "fd00:1::9" }]);
        let none: [&str; 0] = [];
        let cases: [(Value, [&[&str]; 4]); 7] = [
            (json!({}), [&connected, &defaults, &far, &none]),
            (
                json!({ "flushgateway": true }),
                [&connected, &far, &none, &none],
            ),
            (
                json!({ "flushroutes": true }),
                [&connected, &none, &none, &none],
            ),
            (
                json!({ "delroutes": del }),
                [&connected, &defaults, &none, &none],
            ),
            // Another gateway, priority or table is another route.
            (
                json!({ "delroutes": [{ "dst": "10.50.0.0/16", "gw": "10.1.0.7" }, { "dst": "fd50::/64", "priority": 78 }, { "dst": "0.0.0.0/0", "table": 100 }] }),
                [&connected, &defaults, &far, &none],
            ),
            (
                json!({ "addroutes": add }),
                [&connected, &defaults, &far, &added],
            ),
            (
                json!({ "flushroutes": true, "addroutes": [], "args": { "cni": { "addroutes": add } } }),
                [&connected, &added, &none, &none],
            ),
        ];
        for (over, expected) in cases {
            becomes(lab, &over, expected.concat());
        }
    });
}

/// With these keys, the container and the result have the expected routes. DEL restores the former ones.
fn becomes(lab: &Lab, over: &Value, mut expected: Vec<&str>) {
    let sandbox = lab.sandbox();
    let (chain, previous, before) = attached(lab, &sandbox, over);
    let call = chain.call(LAST, &previous);
    let result = call.add();
    let mut found = routes(&sandbox);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "{over}");
    // The result has only routes that exist.
    for route in result["routes"].as_array().into_iter().flatten() {
        let dst = route["dst"].as_str().unwrap();
        assert!(found.iter().any(|found| found.starts_with(dst)), "{result}");
    }
    if over["flushgateway"] == true {
        assert!(
            result["ips"]
                .as_array()
                .unwrap()
                .iter()
                .all(|ip| ip.get("gateway").is_none())
        );
    }
    chain.check(&result);
    // A repetition changes nothing.
    let state = Snapshot::of_sandbox(&sandbox);
    assert_eq!(call.add(), result, "{over}");
    assert_eq!(Snapshot::of_sandbox(&sandbox), state, "{over}");
    // Without a previous result, and after the list was edited.
    let bare =
        json!({ "cniVersion": "1.1.0", "name": "net", "type": "route-override", "addroutes": 7 });
    for _twice in 0..2 {
        call.clone().conf(&bare).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), before, "{over}");
    }
    chain.del(&result);
}

#[test]
fn routes_of_other_tables_are_deleted_and_come_back_there() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
        ipam["routes"] = json!([{ "dst": "10.50.0.0/16", "gw": "10.1.0.9" }]);
        let confs = [
            json!({ "type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": ipam }),
            json!({ "type": "sbr" }),
            json!({ "type": "route-override", "delroutes": [{ "dst": "10.50.0.0/16" }], "addroutes": [{ "dst": "10.70.0.0/16", "scope": 253, "table": 100 }] }),
        ];
        let chain = Chain::new(lab, "pod", &sandbox, "eth0", &confs);
        let first = chain.call(0, &Value::Null).add();
        let bare = Snapshot::of_sandbox(&sandbox);
        let second = chain.call(1, &first).add();
        let before = Snapshot::of_sandbox(&sandbox);
        let result = chain.call(2, &second).add();
        let found = routes(&sandbox);
        let has = |told: &str| found.iter().any(|found| found == told);
        assert!(!has("10.50.0.0/16 via 10.1.0.9 in table 100"), "{found:?}");
        assert!(
            has("10.70.0.0/16 in table 100") && has("0.0.0.0/0 via 10.1.0.1 in table 100"),
            "{found:?}"
        );
        chain.check(&result);
        chain.call(2, &result).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), before);
        chain.call(1, &result).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), bare);
        chain.del(&result);
    });
}

#[test]
fn an_error_is_told_and_everything_is_as_it_was() {
    in_lab(LINKSPAN, |lab| {
        let beyond = json!([{ "dst": "10.60.0.0/16", "gw": "10.9.9.9" }]);
        let taken = json!([{ "dst": "10.50.0.0/16", "gw": "10.1.0.3" }]);
        for (over, code, says) in [
            (
                json!({ "flushroutes": true, "addroutes": beyond }),
                999,
                "add route 10.60.0.0/16 via 10.9.9.9",
            ),
            (
                json!({ "flushgateway": true, "addroutes": taken }),
                999,
                "another priority",
            ),
            (
                json!({ "addroutes": [{ "dst": "10.60.0.0/16", "gw": "fd00::1" }] }),
                7,
                "fd00::1",
            ),
        ] {
            let sandbox = lab.sandbox();
            let (chain, previous, before) = attached(lab, &sandbox, &over);
            let told = chain.call(LAST, &previous).verb("ADD").run().failed(code);
            assert!(told.contains(says), "{told}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), before, "{over}");
            chain.call(LAST, &Value::Null).verb("ADD").run().failed(7);
            chain.call(0, &previous).del();
        }
    });
}

#[test]
fn check_compares_what_was_deleted_and_added() {
    in_lab(LINKSPAN, |lab| {
        let keys = json!({ "flushgateway": true, "addroutes": [{ "dst": "10.60.0.0/16", "gw": "10.1.0.8" }] });
        for (says, adds) in [("not removed", true), ("route to 10.60.0.0/16", false)] {
            let sandbox = lab.sandbox();
            let (chain, previous, _) = attached(lab, &sandbox, &keys);
            let result = chain.call(LAST, &previous).add();
            let link = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            if adds {
                let default = RouteSpec {
                    gw: Some(ip("10.1.0.1")),
                    ..RouteSpec::to(ip("0.0.0.0"), 0)
                };
                link.add_route(&default).unwrap();
            } else {
                let routes = sandbox.rtnl().stored_routes(Family::V4).unwrap();
                let added = routes
                    .iter()
                    .find(|route| route.dst() == (ip("10.60.0.0"), 16));
                sandbox.rtnl().delete_stored(added.unwrap()).unwrap();
            }
            let told = chain.call(LAST, &result).verb("CHECK").run().failed(999);
            assert!(told.contains(says), "{told}");
            let skipping = with(keys.clone(), &json!({ "skipcheck": true }));
            let lenient = self::chain(lab, &sandbox, &skipping);
            lenient.call(LAST, &result).verb("CHECK").run().succeeded();
            chain.del(&result);
        }
    });
}

#[test]
fn del_works_from_any_state() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let (chain, previous, _) = attached(lab, &sandbox, &json!({ "flushroutes": true }));
        let call = chain.call(LAST, &previous);
        let result = call.add();
        let link = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        for addr in link.addrs(Some(Family::V4)).unwrap() {
            link.del_addr(addr.ip, addr.prefix).unwrap();
        }
        call.after(&result).del();
        link.delete().unwrap();
        call.after(&result).del();
        let gone = lab.dir().join("gone");
        for path in ["", gone.to_str().unwrap()] {
            call.clone().netns(path).del();
        }
        let valid = json!({ "cniVersion": "1.1.0", "name": "net", "type": "route-override", "cni.dev/valid-attachments": [] });
        call.conf(&valid).verb("GC").run().succeeded();
        chain.call(0, &result).del();
    });
}
