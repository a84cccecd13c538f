//! `vlan` only: tags and priorities, VLANs on VLANs, and the single link of a VLAN on a master.

use linkspan_harness::conf::{addresses, with};
use linkspan_harness::lab::Sandbox;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_harness::world;
use linkspan_netlink::link::{Kind, LinkSpec, QosMap, Vlan, VlanProtocol};
use serde_json::{Value, json};

use crate::wire::{GATEWAYS, MASTER, Wire, eth0, link, of};

fn settings(sandbox: &Sandbox) -> Vlan {
    match eth0(sandbox).unwrap().kind {
        Kind::Vlan(vlan) => vlan,
        _ => Vlan::of(u16::MAX),
    }
}

#[test]
fn tags_and_priorities_are_as_they_are_asked_for_and_checked() {
    of("vlan", |wire| {
        let sandbox = wire.lab.sandbox();
        let over = json!({
            "vlanId": 4094,
            "protocol": "802.1ad",
            "egressQosMap": [{ "from": 6, "to": 7 }, { "from": 1, "to": 2 }],
            "ingressQosMap": [{ "from": 3, "to": 5 }],
        });
        let call = wire.call("pod", &sandbox, &over);
        let result = call.add();
        let found = settings(&sandbox);
        assert_eq!((found.id, found.protocol), (4094, VlanProtocol::Ad));
        let mut egress = found.egress.clone();
        egress.sort_by_key(|map| map.from);
        assert_eq!(
            egress,
            [QosMap { from: 1, to: 2 }, QosMap { from: 6, to: 7 }]
        );
        assert!(found.ingress.contains(&QosMap { from: 3, to: 5 }));
        call.check(&result);
        for (key, value, told) in [
            ("vlanId", json!(4093), "expected 4093, found 4094"),
            (
                "protocol",
                json!("802.1Q"),
                "expected 802.1Q, found 802.1ad",
            ),
            ("egressQosMap", json!([]), "egressQosMap of \"eth0\""),
            ("ingressQosMap", json!([]), "ingressQosMap of \"eth0\""),
        ] {
            let other = with(over.clone(), &json!({ (key): value }));
            let check = wire.call("pod", &sandbox, &other).after(&result);
            let failed = check.verb("CHECK").run().failed(999);
            assert!(failed.contains(told), "{failed}");
        }
        call.del();
    });
}

#[test]
fn impossible_numbers_are_refused() {
    of("vlan", |wire| {
        let sandbox = wire.lab.sandbox();
        for (over, told) in [
            (json!({ "vlanId": 4095 }), "invalid VLAN ID 4095"),
            (json!({ "master": null }), "\"master\" field is required"),
        ] {
            let add = wire
                .call("pod", &sandbox, &over)
                .verb("ADD")
                .run()
                .failed(7);
            let status = wire.status(&over).run().failed(7);
            assert!(
                add.contains(told) && status.contains(told),
                "{add} {status}"
            );
        }
        wire.call("pod", &sandbox, &json!({ "vlanId": 0 })).add();
        assert_eq!(settings(&sandbox).id, 0);
    });
}

#[test]
fn the_holder_of_a_vlan_is_named() {
    of("vlan", |wire| {
        let spec = LinkSpec::new("nic0.100", Kind::Vlan(Vlan::of(100)));
        wire.master().create_child(&spec).unwrap();
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let call = wire.call("pod", &sandbox, &json!({}));
        let told = call.clone().verb("ADD").run().failed(999);
        for part in [
            "create vlan eth0: file exists",
            "vlan \"nic0.100\" in the host is in the way",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(Snapshot::of_host(wire.lab), host);
        // Tags of the other protocol are other VLANs.
        wire.call("pod", &sandbox, &json!({ "protocol": "802.1ad" }))
            .add();
        call.del();
        let holder = wire.lab.rtnl().link_by_name("nic0.100").unwrap();
        holder.unwrap().delete().unwrap();
        call.add();
        // Not every process can find the container that has it, so its VLAN stays taken.
        let other = wire.lab.sandbox();
        let told = wire
            .call("other", &other, &json!({}))
            .verb("ADD")
            .run()
            .failed(999);
        assert!(told.contains("file exists"), "{told}");
        assert!(eth0(&sandbox).is_some() && eth0(&other).is_none());
        assert_eq!(wire.lab.leased("net").len(), 2);
    });
}

#[test]
fn a_master_that_is_down_is_told_before_anything_is_made() {
    of("vlan", |wire| {
        wire.master().set_down().unwrap();
        let sandbox = wire.lab.sandbox();
        let told = wire
            .call("pod", &sandbox, &json!({}))
            .verb("ADD")
            .run()
            .failed(999);
        assert!(told.contains("master \"nic0\" is down"), "{told}");
        assert!(eth0(&sandbox).is_none());
    });
}

/// The station on a VLAN of a VLAN.
fn behind_two_tags(wire: &Wire<'_>) {
    let outer = Vlan {
        protocol: VlanProtocol::Ad,
        ..Vlan::of(200)
    };
    let spec = LinkSpec::new("outer", Kind::Vlan(outer));
    link(&wire.far, "eth0").create_child(&spec).unwrap();
    link(&wire.far, "outer").set_up().unwrap();
    let spec = LinkSpec::new("inner", Kind::Vlan(Vlan::of(42)));
    link(&wire.far, "outer").create_child(&spec).unwrap();
    let tagged = link(&wire.far, "tagged");
    tagged.delete().unwrap();
    let inner = link(&wire.far, "inner");
    for gateway in GATEWAYS {
        world::add_address(&inner, gateway.parse().unwrap());
    }
    inner.set_up().unwrap();
}

#[test]
fn a_vlan_on_a_vlan_of_the_container_has_two_tags() {
    of("vlan", |wire| {
        behind_two_tags(wire);
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let attach = |ifname: &str, over: &Value| {
            let call = wire.call("pod", &sandbox, over);
            call.env("CNI_IFNAME", ifname)
        };
        let outer = attach(
            "net1",
            &json!({ "vlanId": 200, "protocol": "802.1ad", "ipam": null }),
        );
        let result_outer = outer.add();
        let inner = json!({ "vlanId": 42, "master": "net1", "linkInContainer": true });
        let inner = attach("net2", &inner);
        let result = inner.add();
        for ip in addresses(&result) {
            traffic::flows(&wire.far.netns, &sandbox.netns, ip);
        }
        inner.check(&result);
        outer.check(&result_outer);
        // In either order.
        outer.del();
        inner.del();
        assert_eq!(Snapshot::of_host(wire.lab), host);
        assert_eq!(wire.lab.leased("net"), [""; 0]);
    });
}

#[test]
fn the_mac_is_the_masters_unless_one_is_asked_for() {
    of("vlan", |wire| {
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({}));
        call.add();
        assert_eq!(eth0(&sandbox).unwrap().mac, wire.master().mac);
        call.del();
        let runtime = json!({ "runtimeConfig": { "mac": "02:00:00:00:00:01" } });
        for (over, expected) in [
            (runtime, "02:00:00:00:00:01"),
            (json!({ "macPolicy": "ip" }), "0a:58:0a:01:00:"),
        ] {
            let call = wire.call("pod", &sandbox, &over);
            let result = call.add();
            let mac = result["interfaces"][0]["mac"].as_str().unwrap();
            assert!(mac.starts_with(expected), "{mac}");
            for ip in addresses(&result) {
                traffic::flows(&wire.far.netns, &sandbox.netns, ip);
            }
            call.check(&result);
            call.del();
        }
        assert_eq!(wire.master().name, MASTER);
    });
}
