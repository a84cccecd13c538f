//! `macvlan` only: modes, MAC addresses, and conflicts between its links.

use std::net::SocketAddr;

use linkspan_harness::conf::addresses;
use linkspan_harness::kind;
use linkspan_harness::lab::Sandbox;
use linkspan_harness::server::Server;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::link::{Kind, LinkSpec, Macvlan, MacvlanMode};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::wire::{Wire, eth0, of};

const MAC: &str = "02:00:00:00:00:07";

fn settings(sandbox: &Sandbox) -> Macvlan {
    match eth0(sandbox).unwrap().kind {
        Kind::Macvlan(macvlan) => macvlan,
        _ => Macvlan {
            mode: MacvlanMode::Source,
            broadcast_queue: None,
        },
    }
}

#[test]
fn modes_and_the_broadcast_queue_are_as_they_are_asked_for() {
    of("macvlan", |wire| {
        for mode in ["", "bridge", "private", "vepa", "passthru"] {
            let sandbox = wire.lab.sandbox();
            let over = json!({ "mode": mode, "bcqueuelen": 500 });
            let call = wire.call("pod", &sandbox, &over);
            let result = call.add();
            let found = settings(&sandbox);
            let expected = if mode.is_empty() { "bridge" } else { mode };
            assert_eq!(found.mode.name(), expected);
            // Linux 5.10 does not report it.
            assert!(found.broadcast_queue.is_none_or(|len| len == 500));
            call.check(&result);
            let other = if expected == "vepa" {
                "private"
            } else {
                "vepa"
            };
            let other = wire
                .call("pod", &sandbox, &json!({ "mode": other }))
                .after(&result);
            let told = other.verb("CHECK").run().failed(999);
            assert!(told.contains("mode of \"eth0\""), "{told}");
            call.del();
        }
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({ "mode": "source" }));
        let told = call.verb("ADD").run().failed(7);
        assert!(told.contains("unknown macvlan mode: \"source\""), "{told}");
    });
}

#[test]
fn private_links_reach_the_wire_and_not_each_other() {
    of("macvlan", |wire| {
        let pods = [wire.lab.sandbox(), wire.lab.sandbox()];
        let results = [0, 1].map(|n: usize| {
            let over = json!({ "mode": "private" });
            wire.call(&format!("pod{n}"), &pods[n], &over).add()
        });
        for ip in addresses(&results[1]) {
            traffic::flows(&wire.far.netns, &pods[1].netns, ip);
            let server = Server::of(&pods[1].netns, 80, Family::of(ip));
            server.is_spared(&pods[0].netns, SocketAddr::new(ip, 80));
        }
    });
}

#[test]
fn the_mac_is_that_of_the_first_who_asks_for_one() {
    of("macvlan", |wire| {
        let key = json!({ "mac": "02:00:00:00:00:04", "macPolicy": "ip" });
        let of_args = json!({ "args": { "cni": { "mac": "02:00:00:00:00:02" } } });
        let of_runtime = json!({ "runtimeConfig": { "mac": "02:00:00:00:00:01" } });
        let mut over = key;
        for (more, args, expected) in [
            (json!({}), "", "02:00:00:00:00:04"),
            (
                json!({}),
                "IgnoreUnknown=1;MAC=02:00:00:00:00:03;X=y",
                "02:00:00:00:00:03",
            ),
            (
                of_args,
                "MAC=02:00:00:00:00:03;IgnoreUnknown=1",
                "02:00:00:00:00:02",
            ),
            (
                of_runtime,
                "MAC=02:00:00:00:00:03;IgnoreUnknown=1",
                "02:00:00:00:00:01",
            ),
        ] {
            over = linkspan_harness::conf::with(over, &more);
            let sandbox = wire.lab.sandbox();
            let call = wire.call("pod", &sandbox, &over).env("CNI_ARGS", args);
            let result = call.add();
            assert_eq!(result["interfaces"][0]["mac"], expected);
            assert_eq!(eth0(&sandbox).unwrap().mac[5].to_string(), expected[16..]);
            call.check(&result);
            call.del();
        }
    });
}

#[test]
fn a_mac_by_address_is_the_same_each_time_and_announced() {
    of("macvlan", |wire| {
        let mut seen = Vec::new();
        for subnets in [json!("10.1.0.0/24"), json!("fd00:1::/64")] {
            let range = json!([{ "subnet": subnets, "rangeStart": null }]);
            let mut over = json!({ "macPolicy": "ip", "ipam": linkspan_harness::conf::host_local(wire.lab, &[]) });
            over["ipam"]["ranges"] = json!([range]);
            over["ipam"]["ranges"][0][0]
                .as_object_mut()
                .unwrap()
                .remove("rangeStart");
            for turn in 0..2 {
                let sandbox = wire.lab.sandbox();
                let store = json!({ "name": format!("net{turn}") });
                let over = linkspan_harness::conf::with(over.clone(), &store);
                let call = wire.call("pod", &sandbox, &over);
                let ear = wire.listen();
                let result = call.add();
                let mac = result["interfaces"][0]["mac"].as_str().unwrap().to_owned();
                let link = eth0(&sandbox).unwrap();
                let found = link.mac.map(|byte| format!("{byte:02x}")).join(":");
                assert_eq!(mac, found);
                for ip in addresses(&result) {
                    traffic::flows(&wire.far.netns, &sandbox.netns, ip);
                }
                assert_eq!(ear.announced(), addresses(&result));
                call.check(&result);
                call.del();
                seen.push(mac);
            }
        }
        assert_eq!(seen[0], "0a:58:0a:01:00:02");
        assert!(seen[0] == seen[1] && seen[2] == seen[3] && seen[0] != seen[2]);
    });
}

#[test]
fn a_sibling_with_the_same_mac_is_named() {
    of("macvlan", |wire| {
        let over = json!({ "mac": MAC });
        let theirs = LinkSpec {
            mac: Some([2, 0, 0, 0, 0, 7]),
            ..LinkSpec::new("shim0", kind::macvlan())
        };
        wire.master().create_child(&theirs).unwrap();
        let shim = wire.lab.rtnl().link_by_name("shim0").unwrap().unwrap();
        shim.tag("net/elder/eth0", 0).unwrap();
        shim.set_up().unwrap();
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let told = wire
            .call("pod", &sandbox, &over)
            .verb("ADD")
            .run()
            .failed(999);
        for part in [
            "set up eth0: ",
            "another link on that one, has this",
            MAC,
            "macvlan \"shim0\" of net/elder/eth0 in the host is in the way",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(eth0(&sandbox).is_none());
        assert_eq!(Snapshot::of_host(wire.lab), host);
        shim.delete().unwrap();
        wire.call("pod", &sandbox, &over).add();
    });
}

#[test]
fn passthru_has_its_master_alone_and_gives_it_its_own_mac_back() {
    of("macvlan", |wire| {
        let (first, second) = (wire.lab.sandbox(), wire.lab.sandbox());
        let host = Snapshot::of_host(wire.lab);
        let alone = json!({ "mode": "passthru", "mac": MAC });
        let call = wire.call("first", &first, &alone);
        let result = call.add();
        assert_eq!(result["interfaces"][0]["mac"], MAC);
        assert_eq!(eth0(&first).unwrap().mac, [2, 0, 0, 0, 0, 7]);
        for ip in addresses(&result) {
            traffic::flows(&wire.far.netns, &first.netns, ip);
        }
        refused(
            wire,
            &second,
            &json!({}),
            "see whether nic0 has a use that excludes it",
        );
        call.del();
        assert_eq!(Snapshot::of_host(wire.lab), host);
        let call = wire.call("first", &first, &json!({}));
        call.add();
        let told = "see whether nic0 has a use";
        refused(wire, &second, &json!({ "mode": "passthru" }), told);
        call.del();
        assert_eq!(Snapshot::of_host(wire.lab), host);
    });
}

fn refused(wire: &Wire<'_>, sandbox: &Sandbox, over: &Value, says: &str) {
    let told = wire
        .call("other", sandbox, over)
        .verb("ADD")
        .run()
        .failed(999);
    assert!(told.contains(says), "{told}");
    assert!(eth0(sandbox).is_none());
}

#[test]
fn without_ipam_there_is_an_interface_without_addresses() {
    of("macvlan", |wire| {
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({ "ipam": null }));
        let result = call.add();
        assert_eq!(result["ips"], Value::Null);
        assert!(eth0(&sandbox).unwrap().up);
        call.check(&result);
        wire.status(&json!({ "ipam": null })).run().succeeded();
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}
