//! Common behaviour of the plugins: traffic, announcements, every way to name the master, CHECK, DEL and GC.

use std::net::IpAddr;

use linkspan_harness::conf::{addresses, host_local};
use linkspan_harness::lab::Sandbox;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::tool::tool;
use linkspan_harness::traffic;
use linkspan_harness::world::{self, Cable};
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::route::RouteSpec;
use linkspan_owner::Owner;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::wire::{GATEWAYS, MASTER, Wire, each, eth0, link};

/// Packets pass between the station and the container, with every address of a result.
fn answers(wire: &Wire<'_>, sandbox: &Sandbox, result: &Value) {
    for ip in addresses(result) {
        traffic::flows(&wire.far.netns, &sandbox.netns, ip);
    }
    for gateway in GATEWAYS {
        traffic::flows(&sandbox.netns, &wire.far.netns, gateway.parse().unwrap());
    }
}

#[test]
fn an_attachment_reaches_the_wire_and_leaves_nothing() {
    each(|wire| {
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let inside = Snapshot::of_sandbox(&sandbox);
        let dns = json!({ "nameservers": ["192.0.2.53"] });
        let call = wire.call("pod", &sandbox, &json!({ "mtu": 1400, "dns": dns }));
        let result = call.add();
        let link = eth0(&sandbox).unwrap();
        let mac = link.mac.map(|byte| format!("{byte:02x}")).join(":");
        let expected = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "eth0", "mac": mac, "mtu": 1400, "sandbox": sandbox.path() }],
            "ips": [
                { "interface": 0, "address": "10.1.0.2/24", "gateway": GATEWAYS[0] },
                { "interface": 0, "address": "fd00:1::2/64", "gateway": GATEWAYS[1] },
            ],
            "dns": dns,
        });
        assert_eq!(result, expected);
        assert_eq!(
            (link.kind.as_str(), link.mtu, link.up),
            (wire.plugin, 1400, true)
        );
        assert_eq!((&*link.alias, link.group), ("net/pod/eth0", 0));
        answers(wire, &sandbox, &result);
        call.check(&result);
        wire.status(&json!({ "mtu": 1400 })).run().succeeded();
        for _twice in 0..2 {
            call.after(&result).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        }
        assert_eq!(Snapshot::of_host(wire.lab), host);
    });
}

#[test]
fn each_address_is_announced_once_and_its_new_owner_reached() {
    each(|wire| {
        // Both get the same addresses, one after the other.
        let ranges = json!([
            [{ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.7", "rangeEnd": "10.1.0.7" }],
            [{ "subnet": "fd00:1::/64", "rangeStart": "fd00:1::7", "rangeEnd": "fd00:1::7" }],
        ]);
        let mut ipam = host_local(wire.lab, &[]);
        ipam["ranges"] = ranges;
        for turn in 0..2 {
            let sandbox = wire.lab.sandbox();
            let call = wire.call(&format!("pod{turn}"), &sandbox, &json!({ "ipam": ipam }));
            let ear = wire.listen();
            let result = call.add();
            // The announcement updates the station's neighbour.
            for ip in addresses(&result) {
                traffic::flows(&wire.far.netns, &sandbox.netns, ip);
            }
            assert_eq!(ear.announced(), addresses(&result), "turn {turn}");
            call.del();
        }
    });
}

#[test]
fn containers_on_one_master_reach_each_other() {
    each(|wire| {
        if wire.plugin == "vlan" {
            return;
        }
        let pods = [wire.lab.sandbox(), wire.lab.sandbox()];
        let results = [0, 1].map(|n: usize| {
            let call = wire.call(&format!("pod{n}"), &pods[n], &json!({}));
            call.add()
        });
        for ip in addresses(&results[1]) {
            traffic::flows(&pods[0].netns, &pods[1].netns, ip);
        }
    });
}

#[test]
fn the_master_is_that_of_the_default_route_where_none_is_named() {
    each(|wire| {
        if wire.plugin == "vlan" {
            return;
        }
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({ "master": null }));
        let told = call.clone().verb("ADD").run().failed(999);
        assert!(told.contains("no default route interface found"), "{told}");
        let status = wire.status(&json!({ "master": null }));
        for ip in ["10.1.0.254", "fd00:1::254"] {
            world::add_address(&wire.master(), ip.parse().unwrap());
        }
        for gateway in GATEWAYS {
            let gateway: IpAddr = gateway.parse().unwrap();
            let route = RouteSpec {
                gw: Some(gateway),
                ..RouteSpec::to(Family::of(gateway).unspecified(), 0)
            };
            wire.master().add_route(&route).unwrap();
            let result = call.add();
            assert_eq!(
                eth0(&sandbox).unwrap().peer_index,
                Some(wire.master().index)
            );
            answers(wire, &sandbox, &result);
            call.check(&result);
            status.run().succeeded();
            // The address is deleted, and its routes with it.
            let ip = if gateway.is_ipv4() {
                "10.1.0.254"
            } else {
                "fd00:1::254"
            };
            let prefix = if gateway.is_ipv4() { 24 } else { 64 };
            wire.master().del_addr(ip.parse().unwrap(), prefix).unwrap();
            // The default route is gone. DEL does not need it.
            call.del();
            assert!(eth0(&sandbox).is_none());
        }
    });
}

/// A link of the container to the station, instead of the host's.
fn inside(wire: &Wire<'_>, sandbox: &Sandbox) -> Link {
    let master = wire.master();
    master.set_down().unwrap();
    let netns = std::os::fd::AsFd::as_fd(&sandbox.netns);
    master.move_to(netns, "net1").unwrap();
    let master = link(sandbox, "net1");
    world::bring_up(
        (&sandbox.netns, &master),
        (&wire.far.netns, &link(&wire.far, "eth0")),
    );
    master
}

#[test]
fn the_master_may_be_in_the_container() {
    each(|wire| {
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let master = inside(wire, &sandbox);
        let before = Snapshot::of_sandbox(&sandbox);
        let within = json!({ "master": "net1", "linkInContainer": true });
        let call = wire.call("pod", &sandbox, &within);
        let result = call.add();
        let link = eth0(&sandbox).unwrap();
        assert_eq!(
            (link.peer_index, link.peer_netns),
            (Some(master.index), None)
        );
        answers(wire, &sandbox, &result);
        call.check(&result);
        wire.status(&within).run().succeeded();
        call.del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), before);
        // By its place in the previous result, which has its side.
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "elsewhere" }, { "name": "net1", "sandbox": sandbox.path() }],
        });
        let chained = json!({ "master": null, "masterIndex": 1, "prevResult": previous });
        let call = wire.call("pod", &sandbox, &chained);
        let result = call.add();
        assert_eq!(eth0(&sandbox).unwrap().peer_index, Some(master.index));
        call.check(&result);
        // The master is gone, and its links with it.
        master.delete().unwrap();
        call.after(&result).del();
        assert_eq!(wire.lab.leased("net"), [""; 0]);
        assert!(Snapshot::of_host(wire.lab) != host);
    });
}

#[test]
fn a_place_in_the_result_before_names_a_master_of_the_host() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let previous = json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": MASTER }] });
        let chained = json!({ "master": null, "masterIndex": 0, "prevResult": previous });
        let result = wire.call("pod", &sandbox, &chained).add();
        answers(wire, &sandbox, &result);
        wire.status(&chained).run().succeeded();
        let other = wire.lab.sandbox();
        let absent = json!({ "master": null, "masterIndex": 1, "prevResult": previous });
        let call = wire.call("other", &other, &absent).verb("ADD");
        let told = call.run().failed(7);
        assert!(
            told.contains("masterIndex 1: prevResult has 1 interfaces"),
            "{told}"
        );
    });
}

#[test]
fn a_master_of_the_host_may_be_on_a_bond_or_a_link_with_another_mtu() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let cable = Cable {
            name: "jumbo0",
            bridge: None,
            near: &[],
            far: &[],
        };
        let far = wire.lab.sandbox();
        world::plug(wire.lab, &far, cable);
        let jumbo = wire.lab.rtnl().link_by_name("jumbo0").unwrap().unwrap();
        jumbo.set_mtu(9000).unwrap();
        let call = wire.call("pod", &sandbox, &json!({ "master": "jumbo0" }));
        call.add();
        assert_eq!(eth0(&sandbox).unwrap().mtu, 9000);
        call.del();
    });
}

/// Older kernels also look for the name of a new link in the master's namespace.
#[test]
fn a_link_of_the_host_may_have_the_name_that_the_containers_gets() {
    each(|wire| {
        wire.lab
            .rtnl()
            .create(&LinkSpec::new("eth0", Kind::Bridge))
            .unwrap();
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let inside = Snapshot::of_sandbox(&sandbox);
        let call = wire.call("pod", &sandbox, &json!({}));
        let result = call.add();
        let link = eth0(&sandbox).unwrap();
        assert_eq!((&*link.alias, link.group), ("net/pod/eth0", 0));
        answers(wire, &sandbox, &result);
        call.check(&result);
        call.del();
        // A second one, as the same ADD makes it before it is killed: DEL finds it.
        call.add();
        let link = eth0(&sandbox).unwrap();
        link.set_down().unwrap();
        let owner = Owner::parse("net/pod/eth0").unwrap();
        let interim = format!("new{:08x}", owner.group());
        link.tag_as(&interim, "", owner.group()).unwrap();
        call.del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(Snapshot::of_host(wire.lab), host);
    });
}

#[test]
fn gc_releases_the_addresses_of_the_dead() {
    each(|wire| {
        let (alive, dead) = (wire.lab.sandbox(), wire.lab.sandbox());
        wire.call("alive", &alive, &json!({})).add();
        let over = json!({ "vlanId": 101 });
        wire.call("dead", &dead, &over).add();
        drop(dead);
        let valid = json!([{ "containerID": "alive", "ifname": "eth0" }]);
        let gc = wire.conf(&json!({ "cni.dev/valid-attachments": valid }));
        let call = wire.lab.plugin(wire.plugin).verb("GC");
        call.conf(&gc).run().succeeded();
        assert_eq!(wire.lab.leased("net").len(), 2);
        assert!(eth0(&alive).is_some());
    });
}

#[test]
fn sysctls_are_written_before_the_interface_is_up() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let says = |key: &str| {
            let read = || std::fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap();
            sandbox.netns.scope(read).unwrap().trim().to_owned()
        };
        let sysctl = json!({
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net.ipv6.conf.IFNAME.autoconf": "0",
            "net.ipv6.conf.IFNAME.accept_ra": "2",
        });
        for over in [
            json!({ "sysctl": sysctl }),
            json!({ "sysctl": sysctl, "ipam": null }),
        ] {
            let call = wire.call("pod", &sandbox, &over);
            if wire.plugin == "ipvlan" && over["ipam"].is_null() {
                continue;
            }
            call.add();
            assert_eq!(says("ipv4/conf/eth0/arp_filter"), "1");
            assert_eq!(says("ipv6/conf/eth0/autoconf"), "0");
            assert_eq!(says("ipv6/conf/eth0/accept_ra"), "2");
            call.del();
        }
        let call = wire.call("pod", &sandbox, &json!({})).verb("ADD");
        call.run().succeeded();
        // A router on the wire does not configure the container.
        assert_eq!(says("ipv6/conf/eth0/accept_ra"), "0");
        let other = json!({ "sysctl": { "net.ipv4.ip_forward": "1" } });
        let told = wire
            .call("pod", &sandbox, &other)
            .verb("ADD")
            .run()
            .failed(7);
        assert!(told.contains("is not one of the interface"), "{told}");
    });
}

#[test]
fn a_master_may_be_told_by_an_alternative_name() {
    const ALTERNATIVE: &str = "a-master-of-more-than-15-letters";
    each(|wire| {
        let add = [
            "link",
            "property",
            "add",
            "dev",
            MASTER,
            "altname",
            ALTERNATIVE,
        ];
        if tool("ip", &add).is_none() {
            return;
        }
        let over = json!({ "master": ALTERNATIVE });
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &over);
        let result = call.add();
        answers(wire, &sandbox, &result);
        call.check(&result);
        wire.status(&over).run().succeeded();
        call.del();
    });
}
