//! `ipvlan` only: modes, addresses of the previous result, and an address that a sibling has.

use std::net::IpAddr;

use linkspan_harness::conf::{addresses, fixed};
use linkspan_harness::lab::Sandbox;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_harness::{kind, world};
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::route::RouteSpec;
use serde_json::{Value, json};

use crate::wire::{MASTER, Wire, eth0, link, of};

fn mode(sandbox: &Sandbox) -> &'static str {
    match eth0(sandbox).unwrap().kind {
        Kind::Ipvlan(ipvlan) => ipvlan.mode.name(),
        _ => "",
    }
}

#[test]
fn modes_are_as_they_are_asked_for_and_checked() {
    of("ipvlan", |wire| {
        for asked in ["", "l2", "l3", "l3s"] {
            let sandbox = wire.lab.sandbox();
            let call = wire.call("pod", &sandbox, &json!({ "mode": asked }));
            let result = call.add();
            let expected = if asked.is_empty() { "l2" } else { asked };
            assert_eq!(mode(&sandbox), expected);
            assert_eq!(eth0(&sandbox).unwrap().mac, wire.master().mac);
            call.check(&result);
            let other = if expected == "l3" { "l2" } else { "l3" };
            let other = wire
                .call("pod", &sandbox, &json!({ "mode": other }))
                .after(&result);
            let told = other.verb("CHECK").run().failed(999);
            assert!(told.contains("mode of \"eth0\""), "{told}");
            call.del();
        }
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({ "mode": "L2" }));
        let told = call.verb("ADD").run().failed(7);
        assert!(told.contains("unknown ipvlan mode: \"L2\""), "{told}");
    });
}

#[test]
fn on_layer_3_the_masters_namespace_routes() {
    of("ipvlan", |wire| {
        for mode in ["l3", "l3s"] {
            let sandbox = wire.lab.sandbox();
            // An address to which the wire's only route is through the host.
            let ipam = fixed(&["10.2.0.7/32"]);
            let call = wire.call("pod", &sandbox, &json!({ "mode": mode, "ipam": ipam }));
            let result = call.add();
            let pod: IpAddr = addresses(&result)[0];
            let eth0 = link(&sandbox, "eth0");
            eth0.add_route(&RouteSpec::to([0, 0, 0, 0].into(), 0))
                .unwrap();
            world::add_address(&wire.master(), [10, 1, 0, 254].into());
            let way = RouteSpec {
                gw: Some([10, 1, 0, 254].into()),
                ..RouteSpec::to(pod, 32)
            };
            let far = link(&wire.far, "eth0");
            far.replace_route(&way).unwrap();
            traffic::flows(&wire.far.netns, &sandbox.netns, pod);
            call.del();
            wire.master().del_addr([10, 1, 0, 254].into(), 24).unwrap();
        }
    });
}

#[test]
fn a_chained_one_takes_master_and_addresses_of_the_result_before() {
    of("ipvlan", |wire| {
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": MASTER }],
            "ips": [{ "address": "10.1.0.9/24", "gateway": "10.1.0.1" }],
            "routes": [{ "dst": "0.0.0.0/0" }],
        });
        let chained = json!({ "master": null, "ipam": null, "prevResult": previous });
        let call = wire.call("pod", &sandbox, &chained);
        let result = call.add();
        let expected = json!({ "interface": 0, "address": "10.1.0.9/24", "gateway": "10.1.0.1" });
        assert_eq!(result["ips"], json!([expected]));
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 1);
        assert_eq!(result["interfaces"][0]["name"], "eth0");
        traffic::flows(&wire.far.netns, &sandbox.netns, [10, 1, 0, 9].into());
        call.check(&result);
        // STATUS has no previous result, and no default route is needed.
        let status = json!({ "master": null, "ipam": null });
        wire.status(&status).run().succeeded();
        let two =
            json!({ "interfaces": [{ "name": "a" }, { "name": "b" }], "cniVersion": "1.1.0" });
        let ambiguous = json!({ "master": null, "prevResult": two });
        call.after(&two).del();
        assert_eq!(Snapshot::of_host(wire.lab), host);
        refused(
            wire,
            &sandbox,
            &ambiguous,
            "PrevResult lacks a single named interface",
        );
        let none = json!({ "ipam": null });
        refused(wire, &sandbox, &none, "ipvlan has no addresses to give");
    });
}

fn refused(wire: &Wire<'_>, sandbox: &Sandbox, over: &Value, says: &str) {
    let told = wire.call("pod", sandbox, over).verb("ADD").run().failed(7);
    assert!(told.contains(says), "{told}");
    assert!(eth0(sandbox).is_none());
}

#[test]
fn a_sibling_with_the_same_address_is_named() {
    of("ipvlan", |wire| {
        for address in ["10.1.0.7/24", "fd00:1::7/64"] {
            wire.master()
                .create_child(&LinkSpec::new("theirs", kind::ipvlan()))
                .unwrap();
            let theirs = wire.lab.rtnl().link_by_name("theirs").unwrap().unwrap();
            let (ip, _) = address.split_once('/').unwrap();
            world::add_address(&theirs, ip.parse().unwrap());
            theirs.set_up().unwrap();
            let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
            let over = json!({ "ipam": fixed(&[address]) });
            let told = wire
                .call("pod", &sandbox, &over)
                .verb("ADD")
                .run()
                .failed(999);
            let attempt = format!("add address {address} on eth0: address already in use");
            for part in [&*attempt, "ipvlan \"theirs\" in the host is in the way"] {
                assert!(told.contains(part), "{told}");
            }
            assert!(eth0(&sandbox).is_none());
            assert_eq!(Snapshot::of_host(wire.lab), host);
            theirs.delete().unwrap();
            let call = wire.call("pod", &sandbox, &over);
            call.add();
            call.del();
        }
    });
}

#[test]
fn an_mtu_that_the_master_cannot_carry_is_told_or_refused() {
    of("ipvlan", |wire| {
        let sandbox = wire.lab.sandbox();
        let over = json!({ "mtu": 9000 });
        let told = "mtu 9000 is more than the 1500 of master nic0";
        let run = wire.call("pod", &sandbox, &over).verb("ADD").run();
        run.succeeded();
        assert!(run.stderr.contains(told), "{}", run.stderr);
        assert_eq!(eth0(&sandbox).unwrap().mtu, 9000);
        let status = wire.status(&over).run();
        status.succeeded();
        assert!(status.stderr.contains(told), "{}", status.stderr);
        wire.call("pod", &sandbox, &over).del();
        let strict = json!({ "mtu": 9000, "strictMtu": true });
        let told = "invalid MTU 9000, must be [0, master MTU(1500)]";
        refused(wire, &sandbox, &strict, told);
        let status = wire.status(&strict).run().failed(7);
        assert!(status.contains(told), "{status}");
    });
}

#[test]
fn dhcp_needs_frames() {
    of("ipvlan", |wire| {
        let sandbox = wire.lab.sandbox();
        let over = json!({ "mode": "l3", "ipam": { "type": "dhcp" } });
        refused(wire, &sandbox, &over, "mode l3 is not possible with dhcp");
    });
}
