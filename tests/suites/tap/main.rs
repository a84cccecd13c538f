//! `tap`: the configured device, and refusals. The modules open it, break it, and swap it with the Go plugin's.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod frames;
mod label;
mod state;
mod swap;

use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Tun};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const MAC: &str = "02:00:00:00:00:07";

fn in_tap_lab(body: impl FnOnce(&Lab) + Send) {
    in_lab(LINKSPAN, |lab| {
        if skip::has_tap() {
            body(lab);
        }
    });
}

fn conf(lab: &Lab, over: &Value) -> Value {
    let base = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "tap",
        "ipam": host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]),
    });
    with(base, over)
}

fn call(lab: &Lab, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("tap").of("pod", sandbox);
    call.conf(&conf(lab, over))
}

fn eth0(sandbox: &Sandbox) -> Option<Link> {
    sandbox.rtnl().link_by_name("eth0").unwrap()
}

fn settings(sandbox: &Sandbox) -> Tun {
    match eth0(sandbox).unwrap().kind {
        Kind::Tun(tun) => tun,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_device_is_as_it_is_asked_for_and_needs_no_program() {
    in_tap_lab(|lab| {
        let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
        let over = json!({ "mtu": 1400, "mac": MAC });
        let call = call(lab, &sandbox, &over).env("PATH", "/nonexistent");
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
        assert_eq!((link.mtu, link.up, link.group), (1400, true, 0));
        assert_eq!(link.mac, [2, 0, 0, 0, 0, 7]);
        assert_eq!(link.alias, "net/pod/eth0");
        let plain = Tun {
            is_tap: true,
            is_persistent: true,
            ..Tun::default()
        };
        assert_eq!(settings(&sandbox), plain);
        call.check(&result);
        call.clone().verb("STATUS").run().succeeded();
        for _twice in 0..2 {
            call.after(&result).del();
            assert!(eth0(&sandbox).is_none());
        }
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn without_ipam_it_is_up_and_a_bridge_of_the_container_may_have_it() {
    in_tap_lab(|lab| {
        let sandbox = lab.sandbox();
        let dns = json!({ "nameservers": ["192.0.2.53"] });
        let over = json!({ "ipam": null, "dns": dns, "bridge": "br0" });
        let call = call(lab, &sandbox, &over);
        let inside = Snapshot::of_sandbox(&sandbox);
        let told = call.clone().verb("ADD").run().failed(999);
        assert!(told.contains("failed to get bridge br0"), "{told}");
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        let rtnl = sandbox.rtnl();
        rtnl.create(&LinkSpec::new("br0", Kind::Bridge)).unwrap();
        let bridge = rtnl.link_by_name("br0").unwrap().unwrap();
        let result = call.add();
        assert_eq!((&result["ips"], &result["dns"]), (&Value::Null, &dns));
        let link = eth0(&sandbox).unwrap();
        assert_eq!((link.up, link.controller), (true, Some(bridge.index)));
        call.check(&result);
        call.clone().verb("STATUS").run().succeeded();
        link.set_controller(None).unwrap();
        let failed = call.after(&result).verb("CHECK").run().failed(999);
        assert!(failed.contains("bridge of \"eth0\""), "{failed}");
        call.del();
        assert!(eth0(&sandbox).is_none());
    });
}

#[test]
fn the_runtimes_mac_comes_before_that_of_cni_args_and_that_before_the_key() {
    in_tap_lab(|lab| {
        let mac = |last| format!("02:00:00:00:00:{last:02x}");
        let key = json!({ "ipam": null, "mac": mac(3) });
        let capability = with(key.clone(), &json!({ "runtimeConfig": { "mac": mac(1) } }));
        for (over, args, last) in [(&capability, true, 1), (&key, true, 2), (&key, false, 3)] {
            let sandbox = lab.sandbox();
            let mut call = call(lab, &sandbox, over);
            if args {
                call = call.env("CNI_ARGS", &format!("MAC={}", mac(2)));
            }
            call.add();
            assert_eq!(eth0(&sandbox).unwrap().mac[5], last);
            // Malformed ones do not affect DEL.
            call.env("CNI_ARGS", "no pair").del();
            assert!(eth0(&sandbox).is_none());
        }
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    in_tap_lab(|lab| {
        let sandbox = lab.sandbox();
        let (host, inside) = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let missing = json!({ "ipam": { "type": "missing" } });
        let small = json!({ "mtu": 1000 });
        let large = json!({ "mtu": 70_000 });
        let mut unreachable = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) });
        unreachable["ipam"]["routes"] = json!([{ "dst": "10.9.0.0/16", "gw": "10.8.0.1" }]);
        // An unread answer counts as a failure, and is undone.
        let old = json!({ "cniVersion": "0.2.0", "ipam": null });
        // No user has this number.
        let nobody = json!({ "owner": u32::MAX });
        for over in [missing, small, large, unreachable, old, nobody] {
            let refused = call(lab, &sandbox, &over).verb("ADD").run();
            assert_eq!(refused.status, 1, "{over}");
            assert_eq!(lab.leased("net"), [""; 0], "{over}");
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside, "{over}");
        }
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn a_name_that_is_taken_is_told_and_nobody_gets_the_others_interface() {
    in_tap_lab(|lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, &json!({}));
        call.add();
        let (inside, leased) = (Snapshot::of_sandbox(&sandbox), lab.leased("net"));
        let again = call.clone().verb("ADD").run().failed(999);
        assert!(again.contains("\"eth0\" already exists"), "{again}");
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(lab.leased("net"), leased);
        call.del();
    });
}

#[test]
fn a_label_needs_selinux_and_is_refused_before_anything_is_made() {
    in_tap_lab(|lab| {
        if Path::new("/sys/fs/selinux/enforce").exists() {
            skip::tell("a host without SELinux: this one has it");
            return;
        }
        let sandbox = lab.sandbox();
        let inside = Snapshot::of_sandbox(&sandbox);
        let over = json!({ "selinuxContext": "system_u:system_r:container_t:s0" });
        let call = call(lab, &sandbox, &over);
        for (verb, code) in [("ADD", 7), ("STATUS", 50)] {
            let told = call.clone().verb(verb).run().failed(code);
            assert!(told.contains("SELinux is not enabled"), "{told}");
        }
        assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
        assert_eq!(lab.leased("net"), [""; 0]);
        call.del();
    });
}

#[test]
fn the_process_that_would_have_the_label_makes_the_device() {
    in_tap_lab(|lab| {
        let sandbox = lab.sandbox();
        let run = |args: &[&str]| {
            let call = Call::new(&lab.bin().join("tap")).args(args);
            sandbox.netns.scope(|| call.run()).unwrap()
        };
        run(&["create", "eth0", "-", "-", "1", "0", "1"]).succeeded();
        let made = settings(&sandbox);
        assert!(made.is_tap && made.has_many_queues && made.has_vnet_header);
        assert!(!made.has_packet_info && made.is_persistent);
        let told = run(&["create", "eth0", "-", "-", "1", "0", "1"]).failed(999);
        assert!(told.contains("\"eth0\" already exists"), "{told}");
        run(&["create", "eth0"]).failed(7);
    });
}
