//! `vrf`: the interface with all of its routes and addresses in the table of a VRF, and back; names, tables and controllers
//! that are refused, undo, DEL in every order, CHECK, and the swap with the Go plugin.
//! More than 400 lines: every verb meets the same pod with routes of every sort.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::IpAddr;

use linkspan_attach::parking::Parking;
use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::stored::Stored;
use linkspan_owner::Owner;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const MAIN: u32 = 254;
/// `RT_SCOPE_LINK`
const LINK: u8 = 253;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A lab whose kernel has VRFs.
fn in_vrf_lab(body: impl FnOnce(&Lab) + Send) {
    in_lab(LINKSPAN, |lab| {
        if skip::has_kind(&lab.rtnl(), &Kind::Vrf { table: 1 }) {
            body(lab);
        }
    });
}

/// A pod with an interface of the test, addresses, and routes of every kind.
struct Pod {
    sandbox: Sandbox,
    link: Link,
}

impl Pod {
    fn new(lab: &Lab) -> Self {
        let sandbox = lab.sandbox();
        // The kernel adds a rule with the first VRF of a namespace, and never removes it.
        let first = LinkSpec::new("first", Kind::Vrf { table: 1 });
        sandbox.rtnl().create(&first).unwrap();
        let first = sandbox.rtnl().link_by_name("first").unwrap();
        first.unwrap().delete().unwrap();
        let link = interface(&sandbox, "eth0", "10.1.0.2", "fd01::2");
        let pod = Self { sandbox, link };
        let via = |dst: &str, prefix, gw: &str| RouteSpec {
            gw: Some(ip(gw)),
            ..RouteSpec::to(ip(dst), prefix)
        };
        pod.route(via("0.0.0.0", 0, "10.1.0.1"));
        pod.route(RouteSpec {
            priority: 77,
            mtu: 1400,
            ..via("10.50.0.0", 16, "10.1.0.3")
        });
        // Routes that the reference loses.
        pod.route(RouteSpec {
            scope: Some(LINK),
            ..RouteSpec::to(ip("10.60.0.0"), 16)
        });
        pod.route(RouteSpec {
            table: Some(5000),
            ..via("10.70.0.0", 16, "10.1.0.4")
        });
        for gw in ["fd01::1", "fd01::3"] {
            pod.route(via("::", 0, gw));
        }
        pod
    }

    fn route(&self, spec: RouteSpec) {
        self.link.add_route(&spec).unwrap();
    }

    fn call(&self, lab: &Lab, over: &Value) -> Call {
        self.call_of(&lab.plugin("vrf"), over)
    }

    fn call_of(&self, plugin: &Call, over: &Value) -> Call {
        let interface = json!({ "name": "eth0", "sandbox": self.sandbox.path() });
        let ips = json!([{ "address": "10.1.0.2/16", "interface": 0 }, { "address": "fd01::2/64", "interface": 0 }]);
        let previous = json!({ "cniVersion": "1.0.0", "interfaces": [interface], "ips": ips });
        let base = json!({
            "cniVersion": "1.0.0", "name": "net", "type": "vrf", "vrfName": "blue", "prevResult": previous,
        });
        plugin
            .clone()
            .of("pod", &self.sandbox)
            .conf(&with(base, over))
    }

    fn find(&self, name: &str) -> Option<Link> {
        self.sandbox.rtnl().link_by_name(name).unwrap()
    }

    /// The unicast routes of a table by the interface, without link-local ones.
    fn routes(&self, table: u32) -> Vec<Stored> {
        let families =
            Family::BOTH.map(|family| self.sandbox.rtnl().stored_routes(family).unwrap());
        let mut own = families.concat();
        own.retain(|route| {
            let is_own = route.leaves_by(self.link.index) && route.is_unicast();
            is_own && route.table() == table && !route.describe().starts_with("fe80::")
        });
        own
    }
}

fn interface(sandbox: &Sandbox, name: &str, v4: &str, v6: &str) -> Link {
    let rtnl = sandbox.rtnl();
    rtnl.create(&LinkSpec::new(name, Kind::Bridge)).unwrap();
    let link = rtnl.link_by_name(name).unwrap().unwrap();
    link.set_up().unwrap();
    let flags = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    for (address, prefix) in [(v4, 16), (v6, 64)] {
        link.add_addr(ip(address), prefix, flags).unwrap();
    }
    link
}

/// The routes as they would be in the main table, sorted.
fn sorted(routes: &[Stored]) -> Vec<String> {
    let in_main = routes.iter().map(|route| {
        let route = route.clone().in_table(MAIN);
        format!(
            "{} {} {} {:?}",
            route.describe(),
            route.priority(),
            route.scope(),
            route.hops()
        )
    });
    let mut lines: Vec<_> = in_main.collect();
    lines.sort();
    lines
}

/// The table of a VRF.
fn table(pod: &Pod, name: &str) -> Option<u32> {
    match pod.find(name)?.kind {
        Kind::Vrf { table } => Some(table),
        _ => None,
    }
}

#[test]
fn every_route_is_in_the_table_of_the_vrf_and_comes_back() {
    in_vrf_lab(|lab| {
        let pod = Pod::new(lab);
        let (main, other) = (pod.routes(MAIN), pod.routes(5000));
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let call = pod.call(lab, &json!({}));
        let result = call.add();
        assert_eq!(result["ips"].as_array().unwrap().len(), 2);
        let table = table(&pod, "blue").unwrap();
        assert_eq!(table, 1);
        assert_eq!(
            sorted(&pod.routes(table)),
            sorted(&[main, other.clone()].concat())
        );
        assert_eq!(sorted(&pod.routes(5000)), sorted(&other));
        assert_eq!(pod.routes(MAIN), []);
        let addrs = pod.find("eth0").unwrap().addrs(Some(Family::V6)).unwrap();
        assert!(
            addrs
                .iter()
                .any(|addr| addr.ip == ip("fd01::2") && !addr.tentative)
        );
        call.check(&result);
        assert_eq!(call.add(), result);
        for _thrice in 0..3 {
            call.after(&result).del();
            assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
        }
    });
}

/// The moments at which a process may be killed: before the kernel has flushed the routes, after that, and in a DEL after
/// the interface has left the VRF.
#[test]
fn del_finds_the_routes_that_a_killed_process_had_in_hand() {
    in_vrf_lab(|lab| {
        for moment in ["before", "in", "out"] {
            for is_shared in [false, true] {
                let pod = Pod::new(lab);
                // A table of that number has no shelter.
                for route in pod.routes(5000) {
                    pod.sandbox.rtnl().delete_stored(&route).unwrap();
                }
                // As interface plugins leave it.
                let keep = || fs::write("/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down", "1");
                pod.sandbox.netns.scope(keep).unwrap().unwrap();
                let main = pod.routes(MAIN);
                assert!(main.len() > 4);
                if is_shared {
                    interface(&pod.sandbox, "eth1", "10.2.0.2", "fd02::2");
                    pod.call(lab, &json!({})).env("CNI_IFNAME", "eth1").add();
                } else {
                    let blue = LinkSpec::new("blue", Kind::Vrf { table: 77 });
                    pod.sandbox.rtnl().create(&blue).unwrap();
                }
                let vrf = pod.find("blue").unwrap();
                vrf.set_up().unwrap();
                let table = table(&pod, "blue").unwrap();
                let parking = Parking::of(&Owner::parse("net/pod/eth0").unwrap());
                let shelter = parking.shelter(MAIN, Some(table)).unwrap();
                for route in main.iter().filter(|route| !route.is_of_the_kernel()) {
                    let copy = route.clone().by_link(vrf.index).in_table(shelter);
                    let copy = copy.with_onlink(true).with_source_aside();
                    pod.sandbox.rtnl().add_stored(&copy).unwrap();
                }
                if moment != "before" {
                    pod.link.set_controller(Some(vrf.index)).unwrap();
                }
                if moment == "out" {
                    pod.link.set_controller(None).unwrap();
                }
                let call = pod.call(lab, &json!({ "prevResult": null }));
                for _twice in 0..2 {
                    call.del();
                    assert_eq!(sorted(&pod.routes(MAIN)), sorted(&main), "{moment}");
                    assert_eq!(pod.find("blue").is_some(), is_shared);
                    let routes = pod.sandbox.rtnl().stored_routes(Family::V4).unwrap();
                    assert!(!routes.iter().any(|route| route.table() == shelter));
                }
            }
        }
    });
}

#[test]
fn a_vrf_is_shared_and_goes_with_its_last_interface() {
    in_vrf_lab(|lab| {
        for first in [0, 1] {
            let pod = Pod::new(lab);
            interface(&pod.sandbox, "eth1", "10.2.0.2", "fd02::2");
            let call = |name: &str| pod.call(lab, &json!({})).env("CNI_IFNAME", name);
            let calls = [call("eth0"), call("eth1")];
            calls[0].add();
            calls[1].add();
            let index = pod.find("blue").unwrap().index;
            for name in ["eth0", "eth1"] {
                assert_eq!(pod.find(name).unwrap().controller, Some(index));
            }
            calls[first].del();
            assert!(pod.find("blue").is_some());
            calls[1 - first].del();
            assert!(pod.find("blue").is_none());
        }
    });
}

#[test]
fn a_free_table_is_nobodys_and_a_wanted_one_is_taken() {
    in_vrf_lab(|lab| {
        let pod = Pod::new(lab);
        // A VRF, a route and a rule use one each.
        pod.sandbox
            .rtnl()
            .create(&LinkSpec::new("red", Kind::Vrf { table: 1 }))
            .unwrap();
        pod.route(RouteSpec {
            table: Some(2),
            ..RouteSpec::to(ip("10.80.0.0"), 16)
        });
        let rule = linkspan_netlink::rule::Rule::of_table(Family::V6, 3);
        pod.sandbox.rtnl().add_rule(&rule).unwrap();
        let call = pod.call(lab, &json!({}));
        call.add();
        assert_eq!(table(&pod, "blue"), Some(4));
        let told = pod
            .call(lab, &json!({ "table": 5 }))
            .verb("ADD")
            .run()
            .failed(999);
        assert!(
            told.contains("VRF blue already exist with different routing table 4"),
            "{told}"
        );
        let told = pod
            .call(lab, &json!({ "vrfname": "red" }))
            .verb("ADD")
            .run()
            .failed(999);
        assert!(
            told.contains("interface eth0 has already a master set: blue"),
            "{told}"
        );
        call.del();
        let wanted = pod.call(lab, &json!({ "table": 1_234_567 }));
        wanted.add();
        assert_eq!(table(&pod, "blue"), Some(1_234_567));
        wanted.del();
        assert!(pod.find("red").is_some());
    });
}

#[test]
fn impossible_names_are_refused_before_anything_is_made() {
    in_vrf_lab(|lab| {
        let pod = Pod::new(lab);
        let before = Snapshot::of_sandbox(&pod.sandbox);
        for (name, code, says) in [
            ("", 7, "valid vrf name"),
            ("longer-than-15-b", 7, "too long"),
            ("a/b", 7, "vrfname"),
            ("eth0", 7, "name of the interface"),
            ("lo", 999, "Netlink lo is not a VRF"),
        ] {
            let over = json!({ "vrfName": name });
            let told = pod.call(lab, &over).verb("ADD").run().failed(code);
            assert!(told.contains(says), "{told}");
            assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
            pod.call(lab, &over).del();
        }
        pod.call(lab, &json!({ "prevResult": null }))
            .verb("ADD")
            .run()
            .failed(7);
        pod.call(lab, &json!({}))
            .env("CNI_IFNAME", "eth7")
            .verb("ADD")
            .run()
            .failed(999);
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
    });
}

#[test]
fn del_works_from_any_state() {
    in_vrf_lab(|lab| {
        let changes: [fn(&Pod); 4] = [
            |pod| pod.link.delete().unwrap(),
            |pod| pod.link.set_controller(None).unwrap(),
            |pod| pod.link.set_down().unwrap(),
            |pod| pod.find("blue").unwrap().delete().unwrap(),
        ];
        for change in changes {
            let pod = Pod::new(lab);
            let call = pod.call(lab, &json!({ "prevResult": null }));
            pod.call(lab, &json!({})).add();
            change(&pod);
            for _thrice in 0..3 {
                call.del();
                assert!(pod.find("blue").is_none());
            }
            let gone = lab.dir().join("gone");
            for path in ["", gone.to_str().unwrap()] {
                call.clone().netns(path).del();
            }
            pod.call(lab, &json!({ "table": "x", "prevResult": "y" }))
                .del();
            let valid = json!({ "cni.dev/valid-attachments": [], "cniVersion": "1.1.0", "prevResult": null });
            pod.call(lab, &valid).verb("GC").run().succeeded();
        }
    });
}

#[test]
fn check_compares_the_vrf_its_table_and_the_interface() {
    in_vrf_lab(|lab| {
        type Change = fn(&Pod);
        let changes: [(&str, Change); 3] = [
            ("failed to find eth0 associated to vrf blue", |pod| {
                pod.link.set_controller(None).unwrap();
            }),
            ("VRF blue", |pod| {
                pod.find("blue").unwrap().delete().unwrap();
            }),
            ("interface \"eth0\"", |pod| pod.link.delete().unwrap()),
        ];
        for (says, change) in changes {
            let pod = Pod::new(lab);
            let call = pod.call(lab, &json!({ "table": 7 }));
            let result = call.add();
            call.check(&result);
            let other = pod.call(lab, &json!({ "table": 8 })).after(&result);
            let told = other.verb("CHECK").run().failed(999);
            assert!(told.contains("expected 8, found 7"), "{told}");
            change(&pod);
            let told = call.after(&result).verb("CHECK").run().failed(999);
            assert!(told.contains(says), "{told}");
        }
    });
}

#[test]
fn the_go_plugin_and_ours_undo_each_other() {
    in_vrf_lab(|lab| {
        let Some(go) = go_plugins("vrf") else { return };
        let theirs = lab.foreign(go, "vrf");
        for (adds, deletes) in [(&theirs, &lab.plugin("vrf")), (&lab.plugin("vrf"), &theirs)] {
            let pod = Pod::new(lab);
            let result = pod.call_of(adds, &json!({})).add();
            assert_eq!(table(&pod, "blue"), Some(1));
            pod.call_of(deletes, &json!({})).check(&result);
            pod.call_of(deletes, &json!({})).after(&result).del();
            assert!(pod.find("blue").is_none());
            assert_eq!(pod.find("eth0").unwrap().controller, None);
        }
    });
}
