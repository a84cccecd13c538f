//! Failures of each plugin, their messages, and that nothing is left.

use std::fs;
use std::ops::RangeFrom;
use std::os::fd::AsFd;

use linkspan_harness::conf::host_local;
use linkspan_harness::kind;
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer, Vlan};
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::LINKSPAN;
use crate::wire::{MASTER, PLUGINS, Wire, each, eth0};

/// A VLAN for each attachment: the kernel may take a while to remove a namespace, and its VLAN is taken until then.
const VLANS: RangeFrom<u16> = 200..;

/// A change of the interface by others.
type Change = fn(&Link);

#[test]
fn an_mtu_that_the_master_cannot_carry_is_refused_with_both_numbers() {
    each(|wire| {
        if wire.plugin == "ipvlan" {
            return;
        }
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        for mtu in [1501, -100, 1_i64 << 40] {
            let over = json!({ "mtu": mtu });
            let expected = format!("invalid MTU {mtu}, must be [0, master MTU(1500)]");
            for call in [
                wire.call("pod", &sandbox, &over).verb("ADD"),
                wire.status(&over),
            ] {
                let told = call.run().failed(7);
                assert!(told.contains(&expected), "{told}");
            }
        }
        assert!(eth0(&sandbox).is_none());
        assert_eq!(Snapshot::of_host(wire.lab), host);
        wire.call("pod", &sandbox, &json!({ "mtu": 1500 })).add();
    });
}

#[test]
fn a_master_that_is_missing_or_down_is_told_with_others_to_choose() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let over = json!({ "master": "nci0" });
        let missing = "master \"nci0\" not found in the host";
        let add = wire
            .call("pod", &sandbox, &over)
            .verb("ADD")
            .run()
            .failed(999);
        let status = wire.status(&over).run().failed(50);
        for told in [add, status] {
            assert!(
                told.contains(missing) && told.contains("name one of nic0"),
                "{told}"
            );
        }
        let unseen = json!({ "master": "nci0", "checkMaster": false });
        wire.status(&unseen).run().succeeded();
        let within = json!({ "master": "nic0", "linkInContainer": true });
        let told = wire
            .call("pod", &sandbox, &within)
            .verb("ADD")
            .run()
            .failed(999);
        assert!(told.contains("master \"nic0\" not found in /"), "{told}");
        assert!(told.contains("only lo exists"), "{told}");
        wire.master().set_down().unwrap();
        let told = wire.status(&json!({})).run().failed(50);
        assert!(told.contains("master \"nic0\" is down"), "{told}");
        assert!(told.contains("ip link set nic0 up"), "{told}");
        wire.status(&json!({ "checkMaster": false }))
            .run()
            .succeeded();
        assert_eq!(wire.lab.leased("net"), [""; 0]);
    });
}

#[test]
fn a_failed_add_leaves_nothing_that_is_in_the_way_of_the_next() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let (host, inside) = (Snapshot::of_host(wire.lab), Snapshot::of_sandbox(&sandbox));
        let missing = json!({ "ipam": { "type": "missing" } });
        // Too small for a link with IPv6.
        let small = json!({ "mtu": 1000 });
        let mut unreachable = json!({ "ipam": host_local(wire.lab, &["10.1.0.0/24"]) });
        unreachable["ipam"]["routes"] = json!([{ "dst": "10.9.0.0/16", "gw": "10.8.0.1" }]);
        let full = wire.lab.script(
            "full",
            "echo '{\"code\":11,\"msg\":\"all are taken\"}'; exit 1",
        );
        let full = json!({ "ipam": { "type": full.file_name().unwrap().to_string_lossy() } });
        for over in [missing, small, unreachable, full] {
            let refused = wire.call("pod", &sandbox, &over).verb("ADD").run();
            assert_eq!(refused.status, 1, "{over}");
            assert_eq!(wire.lab.leased("net"), [""; 0], "{over}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside, "{over}");
            assert_eq!(Snapshot::of_host(wire.lab), host, "{over}");
            let call = wire.call("pod", &sandbox, &json!({}));
            call.add();
            call.del();
        }
        // This version cannot express the result.
        if wire.plugin != "ipvlan" {
            let old = json!({ "cniVersion": "0.2.0", "ipam": null });
            wire.call("pod", &sandbox, &old)
                .verb("ADD")
                .run()
                .failed(999);
            assert!(eth0(&sandbox).is_none());
        }
    });
}

#[test]
fn a_name_that_is_taken_stays_with_its_owner() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({}));
        let result = call.add();
        let (inside, leased) = (Snapshot::of_sandbox(&sandbox), wire.lab.leased("net"));
        let again = call.clone().verb("ADD").run().failed(999);
        assert!(again.contains("\"eth0\" already exists"), "{again}");
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(wire.lab.leased("net"), leased);
        call.check(&result);
    });
}

#[test]
fn check_compares_every_promise() {
    each(|wire| {
        let changes: [(&str, Change); 6] = [
            ("state of \"eth0\"", |link| link.set_down().unwrap()),
            ("expected 1400, found 1300", |link| {
                link.set_mtu(1300).unwrap();
            }),
            ("hardware address of \"eth0\"", |link| {
                // An ipvlan has the hardware address of its master.
                if link.set_mac([2, 0, 0, 0, 0, 8]).is_err() {
                    link.delete().unwrap();
                }
            }),
            ("addresses of \"eth0\"", |link| {
                let first = link.addrs(Some(Family::V4)).unwrap().remove(0);
                link.del_addr(first.ip, first.prefix).unwrap();
            }),
            ("interface \"eth0\"", |link| link.delete().unwrap()),
            ("interface \"eth0\"", |link| {
                link.set_down().unwrap();
                link.set_name("other").unwrap();
            }),
        ];
        let mut vlans = VLANS;
        for version in ["1.1.0", "0.4.0"] {
            for (told, change) in changes {
                let sandbox = wire.lab.sandbox();
                let over = json!({ "mtu": 1400, "cniVersion": version, "vlanId": vlans.next() });
                let call = wire.call("pod", &sandbox, &over);
                let result = call.add();
                call.check(&result);
                change(&eth0(&sandbox).unwrap());
                let failed = call.after(&result).verb("CHECK").run().failed(999);
                let is_told = failed.contains(told);
                assert!(is_told || wire.plugin == "ipvlan", "{failed}");
                call.after(&result).del();
            }
        }
    });
}

#[test]
fn check_knows_the_kind_and_the_master() {
    each(|wire| {
        let sandbox = wire.lab.sandbox();
        let call = wire.call("pod", &sandbox, &json!({}));
        let result = call.add();
        let mac = eth0(&sandbox).unwrap().mac;
        // Another link of the host has the master's name.
        let rtnl = wire.lab.rtnl();
        wire.master().set_down().unwrap();
        wire.master().set_name("was0").unwrap();
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains("master \"nic0\" not found"), "{told}");
        rtnl.create(&LinkSpec::new(MASTER, Kind::Bridge)).unwrap();
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains("master of \"eth0\""), "{told}");
        eth0(&sandbox).unwrap().delete().unwrap();
        let spec = LinkSpec {
            mac: Some(mac),
            ..LinkSpec::new("eth0", Kind::Bridge)
        };
        sandbox.rtnl().create(&spec).unwrap();
        let told = call.after(&result).verb("CHECK").run().failed(999);
        assert!(
            told.contains(&format!("expected {}, found bridge", wire.plugin)),
            "{told}"
        );
    });
}

#[test]
fn del_ends_in_every_state() {
    each(|wire| {
        let garbled = json!({ "prevResult": "x", "mtu": "many", "master": 7, "vlanId": -1 });
        let file = wire.lab.dir().join("file");
        fs::write(&file, "").unwrap();
        let file = file.to_string_lossy().into_owned();
        let all = [
            "nothing",
            "link",
            "master",
            "namespace",
            "path",
            "/nonexistent",
            &file,
        ];
        for (gone, vlan) in all.into_iter().zip(VLANS) {
            let sandbox = wire.lab.sandbox();
            let call = wire.call("pod", &sandbox, &json!({ "vlanId": vlan }));
            let result = call.add();
            let call = match gone {
                "nothing" => call,
                "link" => {
                    eth0(&sandbox).unwrap().delete().unwrap();
                    call
                }
                "master" => {
                    wire.master().delete().unwrap();
                    assert!(eth0(&sandbox).is_none());
                    call
                }
                "namespace" => {
                    let call = call.netns(&sandbox.path());
                    drop(sandbox);
                    call
                }
                "path" => call.netns(""),
                path => call.netns(path),
            };
            let call = call.conf(&wire.conf(&garbled));
            call.del();
            assert_eq!(wire.lab.leased("net"), [""; 0], "{gone}");
            call.after(&result).del();
            if gone == "master" {
                let far = wire.far.netns.as_fd();
                let far = Peer::new("again", far);
                let near = LinkSpec::new(MASTER, Kind::Veth);
                wire.lab.rtnl().create_pair(&near, &far).unwrap();
                wire.master().set_up().unwrap();
            }
        }
    });
}

#[test]
fn del_spares_what_is_anothers() {
    each(|wire| {
        let (sandbox, other) = (wire.lab.sandbox(), wire.lab.sandbox());
        let call = wire.call("pod", &sandbox, &json!({}));
        let result = call.add();
        let theirs = wire.call("other", &other, &json!({ "vlanId": 101 }));
        theirs.add();
        // The path belongs to another container by now.
        call.after(&result).netns(&other.path()).del();
        assert!(eth0(&other).is_some() && eth0(&sandbox).is_some());
        assert_eq!(wire.lab.leased("net").len(), 2);
        // A link without a tag, like the Go plugin's, counts as the attachment's.
        eth0(&sandbox).unwrap().set_alias("").unwrap();
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn a_kernel_without_such_links_is_told_by_status_and_by_add() {
    for plugin in PLUGINS {
        in_lab(LINKSPAN, |lab| {
            let kind = match *plugin {
                "macvlan" => kind::macvlan(),
                "ipvlan" => kind::ipvlan(),
                _ => Kind::Vlan(Vlan::of(1)),
            };
            if lab.rtnl().knows(&kind).unwrap() {
                skip::tell(&format!("a kernel that lacks {plugin}: this one has it"));
                return;
            }
            let wire = Wire::untagged(lab, plugin);
            let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
            let inside = Snapshot::of_sandbox(&sandbox);
            let status = wire.status(&json!({})).run().failed(50);
            assert!(
                status.contains(&format!("no links of kind {plugin}")),
                "{status}"
            );
            let call = wire.call("pod", &sandbox, &json!({}));
            let add = call.clone().verb("ADD").run().failed(999);
            assert!(add.contains(&format!("create {plugin} eth0")), "{add}");
            assert!(add.contains("load the kernel module"), "{add}");
            assert_eq!(lab.leased("net"), [""; 0]);
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(Snapshot::of_host(lab), host);
            call.del();
        });
    }
}
