//! `ptp`, also called `veth`: packets through the host, every promise of CHECK, undo, and the swap with the Go plugin.
#![expect(
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test fails by panicking"
)]

use std::net::IpAddr;

use linkspan_harness::conf::{addresses, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn conf(lab: &Lab, over: &Value) -> Value {
    let mut ipam = host_local(lab, &["10.1.2.0/24", "fd01:2::/64"]);
    ipam["routes"] =
        json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "192.168.0.0/16" }]);
    let base = json!({ "cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipam": ipam });
    with(base, over)
}

#[test]
fn containers_reach_their_gateway_and_each_other_through_the_host() {
    in_lab(LINKSPAN, |lab| {
        let before = Snapshot::of_host(lab);
        let conf = conf(lab, &json!({}));
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let call = |id: &str, sandbox: &Sandbox| lab.plugin("ptp").of(id, sandbox).conf(&conf);
        let results = [call("a", &a).add(), call("b", &b).add()];
        for gateway in ["10.1.2.1", "fd01:2::1"] {
            traffic::flows(&a.netns, lab.host(), gateway.parse().unwrap());
            traffic::flows(&b.netns, lab.host(), gateway.parse().unwrap());
        }
        for ip in addresses(&results[1]) {
            traffic::flows(&a.netns, &b.netns, ip);
            traffic::flows(lab.host(), &b.netns, ip);
        }
        call("a", &a).check(&results[0]);
        for (id, sandbox) in [("a", &a), ("b", &b)] {
            call(id, sandbox).del();
            call(id, sandbox).del();
            assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
        }
        assert_eq!(Snapshot::of_host(lab), before);
    });
}

#[test]
fn the_result_names_both_ends_and_the_configuration_rules_the_dns() {
    in_lab(LINKSPAN, |lab| {
        let dns = json!({ "nameservers": [], "search": ["example.org"] });
        let conf = conf(lab, &json!({ "mtu": 1300, "dns": dns }));
        let sandbox = lab.sandbox();
        let result = lab.plugin("veth").of("a", &sandbox).conf(&conf).add();
        let interfaces = result["interfaces"].as_array().unwrap();
        assert_eq!(interfaces.len(), 2);
        assert!(interfaces[0]["name"].as_str().unwrap().starts_with("veth"));
        assert_eq!(interfaces[0].get("sandbox"), None);
        assert_eq!(interfaces[1]["sandbox"], sandbox.path());
        assert_eq!(result["ips"][0]["interface"], 1);
        assert_eq!(result["ips"][0]["gateway"], "10.1.2.1");
        assert_eq!(result["dns"], json!({ "search": ["example.org"] }));
        let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        assert_eq!((eth0.mtu, eth0.kind.as_str()), (1300, "veth"));
    });
}

#[test]
fn the_subnet_is_behind_the_gateway_and_not_on_the_link() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        lab.plugin("ptp")
            .of("a", &sandbox)
            .conf(&conf(lab, &json!({})))
            .add();
        let routes = sandbox.rtnl().routes(Family::V4).unwrap();
        let mut told: Vec<String> = routes
            .iter()
            .map(|route| {
                let via = route
                    .gw
                    .map_or("on link".to_owned(), |gw| format!("via {gw}"));
                format!("{}/{} {via}", route.dst.0, route.dst.1)
            })
            .collect();
        told.sort();
        let expected = [
            "0.0.0.0/0 via 10.1.2.1",
            "10.1.2.0/24 via 10.1.2.1",
            "10.1.2.1/32 on link",
            "192.168.0.0/16 via 10.1.2.1",
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn check_names_the_promise_that_was_broken() {
    in_lab(LINKSPAN, |lab| {
        let conf = conf(lab, &json!({}));
        let host_link = |result: &Value| {
            let name = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
            lab.rtnl().link_by_name(&name).unwrap().unwrap()
        };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let cases: [(&str, &dyn Fn(&Sandbox, &Value)); 5] = [
            ("10.1.2.2/24", &|sandbox, _| {
                let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
                eth0.del_addr(ip("10.1.2.2"), 24).unwrap();
            }),
            ("10.1.2.1/32", &|_, result| {
                host_link(result).del_addr(ip("10.1.2.1"), 32).unwrap();
            }),
            ("route of", &|sandbox, _| {
                // Going down takes the IPv4 routes along.
                let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
                eth0.set_down().unwrap();
                eth0.set_up().unwrap();
            }),
            ("fd01:2::1/128", &|_, result| {
                host_link(result).set_down().unwrap();
                host_link(result).set_up().unwrap();
            }),
            ("hardware address", &|sandbox, _| {
                let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
                eth0.set_mac([2, 0, 0, 0, 0, 9]).unwrap();
            }),
        ];
        for (index, (named, break_it)) in cases.iter().enumerate() {
            // The pool hands addresses out in turn; the first case wants the first one.
            let sandbox = lab.sandbox();
            let call = lab
                .plugin("ptp")
                .of(&format!("c{index}"), &sandbox)
                .conf(&conf);
            let result = call.add();
            call.check(&result);
            break_it(&sandbox, &result);
            let told = call.after(&result).verb("CHECK").run().failed(999);
            assert!(told.contains(named), "{named}: {told}");
            call.del();
        }
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    in_lab(LINKSPAN, |lab| {
        let before = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let good = conf(lab, &json!({}));
        let taken = lab.sandbox();
        lab.plugin("ptp").of("other", &taken).conf(&good).add();
        let live = Snapshot::of_host(lab);
        // The interface is there already.
        let again = lab
            .plugin("ptp")
            .of("again", &taken)
            .conf(&good)
            .verb("ADD")
            .run();
        assert!(again.failed(999).contains("already exists"));
        // The result cannot be told in 0.2.0: two addresses of one family.
        let mut two = conf(lab, &json!({ "cniVersion": "0.2.0" }));
        two["ipam"]["ranges"] =
            json!([[{ "subnet": "10.1.3.0/24" }], [{ "subnet": "10.1.4.0/24" }]]);
        two["ipam"]["routes"] = json!([{ "dst": "10.1.3.0/33" }]);
        lab.plugin("ptp")
            .of("b", &sandbox)
            .conf(&two)
            .verb("ADD")
            .run()
            .failed(6);
        for (over, code, named) in [
            (json!({ "ipam": null }), 7, "no plugin name provided"),
            (json!({ "mtu": 1 }), 999, "veth"),
            (json!({ "mtu": 5_000_000_000_u64 }), 7, "mtu"),
        ] {
            let call = lab.plugin("ptp").of("b", &sandbox).conf(&conf(lab, &over));
            let told = call.verb("ADD").run().failed(code);
            assert!(told.contains(named), "{named}: {told}");
        }
        assert_eq!(Snapshot::of_host(lab), live);
        lab.plugin("ptp").of("other", &taken).conf(&good).del();
        assert_eq!(Snapshot::of_host(lab), before);
    });
}

#[test]
fn each_suite_takes_over_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("ptp") else { return };
        let mut conf = conf(lab, &json!({}));
        // The Go CHECK does not find routes that take their gateway from the address, not even its own.
        conf["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let before = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let ours = lab.plugin("ptp").of("c", &sandbox).conf(&conf);
        let theirs = lab.foreign(go, "ptp").of("c", &sandbox).conf(&conf);

        let result = theirs.add();
        ours.check(&result);
        ours.after(&result).del();
        assert_eq!(Snapshot::of_host(lab), before);

        let result = ours.add();
        theirs.check(&result);
        theirs.after(&result).del();
        assert_eq!(Snapshot::of_host(lab), before);
    });
}
