//! `conflictCheck`: addresses that another station has.

use std::net::IpAddr;

use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::{traffic, world};
use linkspan_netlink::link::Link;
use linkspan_protocol::addr::MacAddr;
use serde_json::{Value, json};

use crate::wire::{Wire, each, eth0, link, of};

/// Requests these addresses, with or without the check.
fn over(addresses: &[&str], is_checked: bool) -> Value {
    let addresses: Vec<Value> = addresses
        .iter()
        .map(|address| json!({ "address": address }))
        .collect();
    json!({ "conflictCheck": is_checked, "ipam": { "type": "static", "addresses": addresses } })
}

/// The station's link that has its addresses.
fn station(wire: &Wire<'_>) -> Link {
    link(
        &wire.far,
        if wire.plugin == "vlan" {
            "tagged"
        } else {
            "eth0"
        },
    )
}

#[test]
fn an_address_that_a_station_has_is_refused_before_it_is_set() {
    each(|wire| {
        let station = station(wire);
        for ip in ["10.1.0.7", "fd00:1::7"] {
            world::add_address(&station, ip.parse().unwrap());
        }
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let inside = Snapshot::of_sandbox(&sandbox);
        for (ip, addresses) in [
            ("10.1.0.7", ["10.1.0.7/24", "fd00:1::8/64"]),
            ("fd00:1::7", ["10.1.0.8/24", "fd00:1::7/64"]),
        ] {
            let call = wire.call("pod", &sandbox, &over(&addresses, true));
            let told = call.clone().verb("ADD").run().failed(11);
            let expected = format!("address {ip} is taken: {} has it", MacAddr(station.mac));
            assert!(told.contains(&expected), "{told}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(Snapshot::of_host(wire.lab), host);
            // The station has learned nothing from the question.
            let known = wire.far.rtnl().neighbours().unwrap();
            let asked: Vec<IpAddr> = ["10.1.0.7", "10.1.0.8", "fd00:1::7", "fd00:1::8"]
                .map(|ip| ip.parse().unwrap())
                .into();
            assert!(
                !known.iter().any(|one| asked.contains(&one.ip)),
                "{known:?}"
            );
            // Without the key, ADD does not look.
            let call = wire.call("pod", &sandbox, &over(&addresses, false));
            call.add();
            call.del();
        }
    });
}

#[test]
fn an_address_of_the_master_is_refused() {
    each(|wire| {
        world::add_address(&wire.master(), [10, 1, 0, 7].into());
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &over(&["10.1.0.7/24"], true));
        let told = call.verb("ADD").run().failed(11);
        assert!(told.contains("address 10.1.0.7 is taken"), "{told}");
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn a_free_address_is_set_and_announced_once() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let call = wire.call(
            "pod",
            &sandbox,
            &over(&["10.1.0.8/24", "fd00:1::8/64"], true),
        );
        let ear = wire.listen();
        call.check(&call.add());
        let ips: [IpAddr; 2] = ["10.1.0.8", "fd00:1::8"].map(|ip| ip.parse().unwrap());
        for ip in ips {
            traffic::flows(&wire.far.netns, &sandbox.netns, ip);
        }
        assert_eq!(ear.announced(), ips);
        call.del();
    });
}

#[test]
fn the_siblings_of_a_macvlan_are_asked() {
    of("macvlan", |wire| {
        let (a, b) = (wire.lab.sandbox(), wire.lab.sandbox());
        let keys = over(&["10.1.0.8/24"], true);
        wire.call("a", &a, &keys).add();
        let told = wire.call("b", &b, &keys).verb("ADD").run().failed(11);
        let mac = MacAddr(eth0(&a).unwrap().mac);
        assert!(told.contains(&mac.to_string()), "{told}");
    });
}

#[test]
fn it_needs_frames() {
    of("ipvlan", |wire| {
        let sandbox = wire.lab.sandbox();
        for mode in ["l3", "l3s"] {
            let mut keys = over(&["10.1.0.8/24"], true);
            keys["mode"] = json!(mode);
            let told = wire
                .call("pod", &sandbox, &keys)
                .verb("ADD")
                .run()
                .failed(7);
            assert!(told.contains("conflictCheck is not possible"), "{told}");
        }
    });
}
