//! `dummy`: the configured interface, every promise of CHECK, undo, DEL from any state, and the swap with the Go
//! plugin. On kernels without such links, the refusal.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const MAC: &str = "02:00:00:00:00:07";

/// A lab whose kernel has these links.
fn in_dummy_lab(body: impl FnOnce(&Lab) + Send) {
    in_lab(LINKSPAN, |lab| {
        if skip::has_kind(&lab.rtnl(), &Kind::Dummy) {
            body(lab);
        }
    });
}

fn conf(lab: &Lab, over: &Value) -> Value {
    let base = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "dummy",
        "ipam": host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]),
    });
    with(base, over)
}

fn call(lab: &Lab, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("dummy").of("pod", sandbox);
    call.conf(&conf(lab, over))
}

/// A change of the interface by others.
type Change = fn(&Link);

fn eth0(sandbox: &Sandbox) -> Option<Link> {
    sandbox.rtnl().link_by_name("eth0").unwrap()
}

#[test]
fn the_interface_is_as_it_is_asked_for_and_its_addresses_answer() {
    in_dummy_lab(|lab| {
        let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
        let call = call(lab, &sandbox, &json!({ "mtu": 1400, "mac": MAC }));
        let result = call.add();
        let expected = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "eth0", "mac": MAC, "sandbox": sandbox.path() }],
            "ips": [
                { "interface": 0, "address": "10.1.0.2/16", "gateway": "10.1.0.1" },
                { "interface": 0, "address": "fd00:1::2/64", "gateway": "fd00:1::1" },
            ],
        });
        assert_eq!(result, expected);
        let link = eth0(&sandbox).unwrap();
        assert_eq!((link.kind, link.mtu, link.up), (Kind::Dummy, 1400, true));
        assert_eq!((link.mac, link.group), ([2, 0, 0, 0, 0, 7], 0));
        assert_eq!(link.alias, "net/pod/eth0");
        sandbox
            .rtnl()
            .link_by_name("lo")
            .unwrap()
            .unwrap()
            .set_up()
            .unwrap();
        for ip in addresses(&result) {
            traffic::flows(&sandbox.netns, &sandbox.netns, ip);
        }
        call.check(&result);
        for _twice in 0..2 {
            call.after(&result).del();
            assert!(eth0(&sandbox).is_none());
        }
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn without_ipam_there_is_an_interface_without_addresses() {
    in_dummy_lab(|lab| {
        let sandbox = lab.sandbox();
        let dns = json!({ "nameservers": ["192.0.2.53"] });
        let call = call(lab, &sandbox, &json!({ "ipam": null, "dns": dns }));
        let result = call.add();
        let link = eth0(&sandbox).unwrap();
        assert!(link.up && link.mac[0] & 1 == 0 && link.mac != [0; 6]);
        assert_eq!(result["ips"], Value::Null);
        assert_eq!(result["dns"], dns);
        call.check(&result);
        call.clone().verb("STATUS").run().succeeded();
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn a_name_is_taken_in_the_container_alone() {
    in_dummy_lab(|lab| {
        let (sandbox, other) = (lab.sandbox(), lab.sandbox());
        lab.rtnl()
            .create(&LinkSpec::new("eth0", Kind::Dummy))
            .unwrap();
        let call = call(lab, &sandbox, &json!({}));
        call.add();
        let (inside, leased) = (Snapshot::of_sandbox(&sandbox), lab.leased("net"));
        let again = call.clone().verb("ADD").run().failed(999);
        assert!(again.contains("\"eth0\" already exists"), "{again}");
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(lab.leased("net"), leased);
        lab.plugin("dummy")
            .of("other", &other)
            .conf(&conf(lab, &json!({})))
            .add();
        call.del();
        assert!(lab.rtnl().link_by_name("eth0").unwrap().is_some());
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    in_dummy_lab(|lab| {
        let sandbox = lab.sandbox();
        let (host, inside) = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let missing = json!({ "ipam": { "type": "missing" } });
        // Impossible values for links: an address, and an MTU.
        let small = json!({ "mtu": 1000 });
        let routes = json!([{ "dst": "10.9.0.0/16", "gw": "10.8.0.1" }]);
        let mut unreachable = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) });
        unreachable["ipam"]["routes"] = routes;
        for over in [missing, small, unreachable] {
            let refused = call(lab, &sandbox, &over).verb("ADD").run();
            assert!(!refused.stdout.is_empty(), "{over}");
            assert_eq!(eth0(&sandbox).map(|link| link.name), None, "{over}");
            assert_eq!(lab.leased("net"), [""; 0], "{over}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside, "{over}");
        }
        // An unread answer counts as a failure, and is undone.
        let old = call(
            lab,
            &sandbox,
            &json!({ "cniVersion": "0.2.0", "ipam": null }),
        );
        old.verb("ADD").run().failed(999);
        assert!(eth0(&sandbox).is_none());
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn check_compares_every_promise() {
    in_dummy_lab(|lab| {
        let changes: [(&str, Change); 6] = [
            ("state of \"eth0\"", |link| link.set_down().unwrap()),
            ("mtu of \"eth0\"", |link| link.set_mtu(1300).unwrap()),
            ("hardware address of \"eth0\"", |link| {
                link.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
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
        for (told, change) in changes {
            let sandbox = lab.sandbox();
            let over = json!({ "mtu": 1400, "mac": MAC });
            let call = call(lab, &sandbox, &over);
            // The result has no MTU, so the next plugin would report it.
            let mut result = call.add();
            result["interfaces"][0]["mtu"] = json!(1400);
            call.check(&result);
            change(&eth0(&sandbox).unwrap());
            let failed = call.after(&result).verb("CHECK").run().failed(999);
            assert!(failed.contains(told), "{failed}");
            call.after(&result).del();
        }
        // A link of another kind under the name.
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, &json!({}));
        let result = call.add();
        eth0(&sandbox).unwrap().delete().unwrap();
        let rtnl = sandbox.rtnl();
        rtnl.create(&LinkSpec::new("eth0", Kind::Bridge)).unwrap();
        let failed = call.after(&result).verb("CHECK").run().failed(999);
        assert!(failed.contains("expected dummy, found bridge"), "{failed}");
    });
}

#[test]
fn del_works_without_a_namespace_and_spares_what_is_anothers() {
    in_dummy_lab(|lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, &json!({}));
        let result = call.add();
        // The path belongs to another container by now, whose interface has another tag.
        let other = lab.sandbox();
        let theirs = lab.plugin("dummy").of("other", &other);
        theirs.conf(&conf(lab, &json!({}))).add();
        call.after(&result).netns(&other.path()).del();
        assert!(eth0(&other).is_some() && eth0(&sandbox).is_some());
        assert_eq!(lab.leased("net").len(), 2);
        // Without a path the addresses are released, and the interface goes with its namespace.
        call.clone().netns("").del();
        for gone in ["/nonexistent", "file"] {
            let path = lab.dir().join(gone);
            if gone == "file" {
                fs::write(&path, "").unwrap();
            }
            call.clone().netns(&path.to_string_lossy()).del();
        }
        // A link without a tag, like the Go plugin's, counts as the attachment's.
        let link = eth0(&sandbox).unwrap();
        link.set_alias("").unwrap();
        call.del();
        assert!(eth0(&sandbox).is_none());
        // So does one that another plugin made for it under another configuration.
        let near = LinkSpec::new("peer", Kind::Veth);
        sandbox
            .rtnl()
            .create_pair(&near, &Peer::new("eth0", sandbox.netns.as_fd()))
            .unwrap();
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn gc_releases_the_addresses_of_the_dead() {
    in_dummy_lab(|lab| {
        let (alive, dead) = (lab.sandbox(), lab.sandbox());
        for (id, sandbox) in [("alive", &alive), ("dead", &dead)] {
            lab.plugin("dummy")
                .of(id, sandbox)
                .conf(&conf(lab, &json!({})))
                .add();
        }
        drop(dead);
        let valid = json!([{ "containerID": "alive", "ifname": "eth0" }]);
        let gc = conf(lab, &json!({ "cni.dev/valid-attachments": valid }));
        lab.plugin("dummy").verb("GC").conf(&gc).run().succeeded();
        assert_eq!(lab.leased("net").len(), 2);
        assert!(eth0(&alive).is_some());
    });
}

#[test]
fn either_suite_detaches_what_the_other_attached() {
    in_dummy_lab(|lab| {
        let go = go_plugins("dummy").filter(|dir| dir.join("dummy").exists());
        let Some(go) = go else {
            skip::tell("dummy: the Go suite here is older than 1.2.0");
            return;
        };
        let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
        let conf = conf(lab, &json!({ "cniVersion": "1.0.0" }));
        let ours = lab.plugin("dummy").of("pod", &sandbox).conf(&conf);
        let theirs = lab.foreign(go, "dummy").of("pod", &sandbox).conf(&conf);
        let inside = Snapshot::of_sandbox(&sandbox);

        let first = theirs.add();
        ours.check(&first);
        ours.after(&first).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);

        let second = ours.add();
        theirs.check(&second);
        theirs.after(&second).del();
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(Snapshot::of_host(lab), host);

        // Both answers are equal except for the MAC, which is random, and the addresses, which are next in turn.
        let comparable = |mut result: Value| {
            result["interfaces"][0]["mac"] = json!("");
            for ip in result["ips"].as_array_mut().unwrap() {
                ip["address"] = json!("");
            }
            result
        };
        assert_eq!(comparable(first), comparable(second));
    });
}

#[test]
fn a_kernel_without_such_links_is_told_by_status_and_by_add() {
    in_lab(LINKSPAN, |lab| {
        if lab.rtnl().knows(&Kind::Dummy).unwrap() {
            skip::tell("a kernel that lacks dummy links: this one has them");
            return;
        }
        let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
        let inside = Snapshot::of_sandbox(&sandbox);
        let call = call(lab, &sandbox, &json!({}));
        let status = call.clone().verb("STATUS").run().failed(50);
        assert!(status.contains("no links of kind dummy"), "{status}");
        let add = call.clone().verb("ADD").run().failed(999);
        assert!(add.contains("create dummy eth0"), "{add}");
        assert!(add.contains("load the kernel module"), "{add}");
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(Snapshot::of_host(lab), host);
        call.del();
    });
}
