//! `ptp`, also called `veth`: packets through the host, every promise of CHECK, undo, and the swap with the Go plugin. Each
//! with a veth pair, and with a netkit pair where the kernel has such.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test fails by panicking"
)]

mod beside;
mod netkit;

use std::net::IpAddr;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

const VETH: &str = "veth";
const NETKIT: &str = "netkit";

/// Runs the test with each kind of pair that the kernel has, in a lab of its own.
fn each(body: fn(&Lab, &str)) {
    for device in [VETH, NETKIT] {
        of(device, body);
    }
}

/// The same with one kind.
fn of(device: &str, body: fn(&Lab, &str)) {
    in_lab(LINKSPAN, |lab| {
        if skip::has_pair(&lab.rtnl(), device) {
            body(lab, device);
        }
    });
}

/// A configuration with that kind of pair. A veth pair is asked for by nothing.
fn conf(lab: &Lab, device: &str, over: &Value) -> Value {
    let mut ipam = host_local(lab, &["10.1.2.0/24", "fd01:2::/64"]);
    ipam["routes"] =
        json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "192.168.0.0/16" }]);
    let mut base = json!({ "cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipam": ipam });
    if device != VETH {
        base["device"] = json!(device);
    }
    with(base, over)
}

#[test]
fn containers_reach_their_gateway_and_each_other_through_the_host() {
    each(|lab, device| {
        let before = Snapshot::of_host(lab);
        let conf = conf(lab, device, &json!({}));
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
    each(|lab, device| {
        let dns = json!({ "nameservers": [], "search": ["example.org"] });
        let conf = conf(lab, device, &json!({ "mtu": 1300, "dns": dns }));
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
        assert_eq!((eth0.mtu, eth0.kind.as_str()), (1300, device));
    });
}

#[test]
fn the_subnet_is_behind_the_gateway_and_not_on_the_link() {
    each(|lab, device| {
        let sandbox = lab.sandbox();
        lab.plugin("ptp")
            .of("a", &sandbox)
            .conf(&conf(lab, device, &json!({})))
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
    each(|lab, device| {
        let conf = conf(lab, device, &json!({}));
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
            // The pool gives addresses in turn; the first case needs the first one.
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
    each(|lab, device| {
        let before = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let good = conf(lab, device, &json!({}));
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
        let mut two = conf(lab, device, &json!({ "cniVersion": "0.2.0" }));
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
            (json!({ "mtu": 1 }), 7, "mtu 1 is less than"),
            (json!({ "mtu": 5_000_000_000_u64 }), 7, "mtu"),
        ] {
            let call = lab
                .plugin("ptp")
                .of("b", &sandbox)
                .conf(&conf(lab, device, &over));
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
    each(|lab, device| {
        let Some(go) = go_plugins("ptp") else { return };
        let mut conf = conf(lab, device, &json!({}));
        // The Go CHECK does not find routes that take their gateway from the address, not even its own.
        conf["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let before = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let ours = lab.plugin("ptp").of("c", &sandbox).conf(&conf);
        let theirs = lab.foreign(go, "ptp").of("c", &sandbox).conf(&conf);

        // The Go plugin does not know the key, makes a veth pair, and wants one.
        let result = theirs.add();
        let of_veth = with(conf.clone(), &json!({ "device": null }));
        ours.clone().conf(&of_veth).check(&result);
        ours.after(&result).del();
        assert_eq!(Snapshot::of_host(lab), before);

        let result = ours.add();
        if device == VETH {
            theirs.check(&result);
        }
        theirs.after(&result).del();
        assert_eq!(Snapshot::of_host(lab), before);
    });
}

#[test]
fn a_route_to_the_pod_replaces_what_is_there_and_check_asks_the_way() {
    each(|lab, device| {
        let conf = conf(lab, device, &json!({}));
        let (first, second) = (lab.sandbox(), lab.sandbox());
        let call = |id: &str, sandbox: &Sandbox| lab.plugin("ptp").of(id, sandbox).conf(&conf);
        let stale = call("a", &first).add();
        // The address was released, and the pair stayed.
        for ip in addresses(&stale) {
            std::fs::remove_file(lab.leases().join("net").join(ip.to_string())).unwrap();
        }
        drop(std::fs::remove_dir_all(lab.leases()));
        let result = call("b", &second).add();
        assert_eq!(addresses(&result), addresses(&stale));
        for ip in addresses(&result) {
            traffic::flows(lab.host(), &second.netns, ip);
        }
        call("b", &second).check(&result);
        // A route past the pair is reported.
        let host = |result: &Value| {
            let name = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
            lab.rtnl().link_by_name(&name).unwrap().unwrap()
        };
        for ip in addresses(&result) {
            let prefix = if ip.is_ipv4() { 32 } else { 128 };
            host(&stale)
                .replace_route(&RouteSpec::to(ip, prefix))
                .unwrap();
            let told = call("b", &second)
                .after(&result)
                .verb("CHECK")
                .run()
                .failed(999);
            assert!(told.contains(&format!("route to {ip}")), "{told}");
            host(&result)
                .replace_route(&RouteSpec::to(ip, prefix))
                .unwrap();
        }
        call("b", &second).check(&result);
        call("b", &second).del();
        call("a", &first).del();
    });
}

#[test]
fn routes_by_a_neighbour_and_to_the_own_subnet_are_taken_in_both_families() {
    each(|lab, device| {
        let routes = json!([
            { "dst": "10.1.2.0/24" }, { "dst": "fd01:2::/64" },
            { "dst": "10.9.0.0/16", "gw": "10.1.2.9" }, { "dst": "fd09::/64", "gw": "fd01:2::9" },
            { "dst": "10.1.2.0/24", "mtu": 1300, "priority": 7 }, { "dst": "fd01:2::/64", "mtu": 1300, "priority": 7 },
        ]);
        let mut conf = conf(lab, device, &json!({ "cniVersion": "1.1.0" }));
        conf["ipam"]["routes"] = routes;
        let sandbox = lab.sandbox();
        let call = lab.plugin("ptp").of("a", &sandbox).conf(&conf);
        let result = call.add();
        call.check(&result);
        for (family, dst, hop) in [
            (Family::V4, "10.9.0.0", "10.1.2.9"),
            (Family::V6, "fd09::", "fd01:2::9"),
        ] {
            let found = sandbox.rtnl().routes(family).unwrap();
            let to = |route: &&linkspan_netlink::route::Route| route.dst.0.to_string() == dst;
            let gw = found.iter().find(to).unwrap().gw;
            assert_eq!(gw.unwrap().to_string(), hop);
        }
        for ip in ["10.1.2.1", "fd01:2::1"] {
            traffic::flows(&sandbox.netns, lab.host(), ip.parse().unwrap());
        }
        call.del();
    });
}

#[test]
fn an_mtu_that_cannot_be_is_named_and_the_hosts_end_keeps_its_address() {
    each(|lab, device| {
        let before = Snapshot::of_host(lab);
        for plugin in ["ptp", "bridge"] {
            let sandbox = lab.sandbox();
            let add = |mtu: u32| {
                let kind = json!({ "mtu": mtu, "type": plugin, "bridge": "br0" });
                let call = lab.plugin(plugin).of("a", &sandbox);
                call.conf(&conf(lab, device, &kind))
            };
            let told = add(1200).verb("ADD").run().failed(7);
            assert!(
                told.contains("mtu 1200 is less than the 1280 that IPv6 needs"),
                "{told}"
            );
            let mut four = conf(
                lab,
                device,
                &json!({ "mtu": 9, "type": plugin, "bridge": "br1" }),
            );
            four["ipam"]["ranges"] = json!([[{ "subnet": "10.1.2.0/24" }]]);
            four["ipam"]["routes"] = json!([]);
            let call = lab.plugin(plugin).of("a", &sandbox).conf(&four);
            let told = call.verb("ADD").run().failed(999);
            assert!(told.contains("mtu 9: create "), "{told}");
            assert_eq!(lab.leased("net"), [""; 0]);
            assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
            // `NET_ADDR_SET` of linux/netdevice.h: udev leaves such an address alone.
            let result = add(1400).add();
            let names = result["interfaces"].as_array().unwrap().iter();
            let mut names = names.filter_map(|one| one["name"].as_str());
            let veth = names.find(|name| name.starts_with("veth")).unwrap();
            let link = lab.rtnl().link_by_name(veth).unwrap().unwrap();
            assert_eq!(link.mac[0] & 3, 2, "{:?}", link.mac);
            let shown = Call::new(&std::path::PathBuf::from("/bin/sh")).args(&[
                "-c",
                "mount -t sysfs none /sys && cat /sys/class/net/$0/addr_assign_type",
                veth,
            ]);
            let shown = shown.under(&["unshare", "-m"]).run();
            assert_eq!(shown.succeeded().trim(), "3");
            add(1400).del();
            if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
                bridge.delete().unwrap();
            }
        }
        assert_eq!(Snapshot::of_host(lab), before);
    });
}
