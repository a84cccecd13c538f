//! `loopback`: the interface that every container has, in each version's form, and the swap with the Go plugin.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn conf(version: &str) -> Value {
    json!({ "cniVersion": version, "name": "lo", "type": "loopback" })
}

fn call(lab: &Lab, sandbox: &Sandbox, version: &str) -> Call {
    let call = lab.plugin("loopback").of("pod", sandbox);
    call.conf(&conf(version))
}

fn is_up(sandbox: &Sandbox) -> bool {
    sandbox.rtnl().link_by_name("lo").unwrap().unwrap().up
}

/// ADD's output in `version`.
fn expected(version: &str, sandbox: &Sandbox) -> Value {
    let path = sandbox.path();
    let interface = json!({ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": path });
    match version {
        "0.1.0" | "0.2.0" => json!({
            "cniVersion": version,
            "ip4": { "ip": "127.0.0.1/8" },
            "ip6": { "ip": "::1/128" },
            "dns": {},
        }),
        "0.3.0" | "0.3.1" | "0.4.0" => json!({
            "cniVersion": version,
            "interfaces": [interface],
            "ips": [
                { "version": "4", "interface": 0, "address": "127.0.0.1/8" },
                { "version": "6", "interface": 0, "address": "::1/128" },
            ],
            "dns": {},
        }),
        _ => json!({
            "cniVersion": version,
            "interfaces": [interface],
            "ips": [
                { "interface": 0, "address": "127.0.0.1/8" },
                { "interface": 0, "address": "::1/128" },
            ],
        }),
    }
}

#[test]
fn lo_goes_up_and_down_in_every_version() {
    in_lab(LINKSPAN, |lab| {
        let host = Snapshot::of_host(lab);
        for version in [
            "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
        ] {
            let sandbox = lab.sandbox();
            // It reads neither, and the interface is lo whatever name the runtime gives.
            let call = call(lab, &sandbox, version).env("CNI_ARGS", "none");
            for _twice in 0..2 {
                assert_eq!(call.add(), expected(version, &sandbox));
            }
            for ip in ["127.0.0.1", "::1"] {
                let (from, to) = (&sandbox.netns, &sandbox.netns);
                traffic::flows(from, to, ip.parse().unwrap());
            }
            if version >= "0.4.0" {
                call.check(&expected(version, &sandbox));
            }
            for _twice in 0..2 {
                call.del();
                assert!(!is_up(&sandbox));
            }
        }
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn del_is_success_without_a_container() {
    in_lab(LINKSPAN, |lab| {
        let call = call(lab, &lab.sandbox(), "1.1.0");
        call.clone().netns("/run/netns/long-gone").del();
        call.without("CNI_NETNS").del();
    });
}

#[test]
fn check_tells_that_lo_is_down() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, "1.1.0");
        let result = call.add();
        call.check(&result);
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        lo.set_down().unwrap();
        let told = call.after(&result).verb("CHECK").run().failed(999);
        let says = format!("loopback interface is down in {}", sandbox.path());
        assert!(told.contains(&says), "{told}");
        assert!(!is_up(&sandbox), "CHECK repairs nothing");
    });
}

#[test]
fn a_previous_result_passes_through() {
    in_lab(LINKSPAN, |lab| {
        for (version, address) in [
            (
                "0.2.0",
                json!({ "ip4": { "ip": "10.0.0.2/24" }, "dns": {} }),
            ),
            (
                "0.4.0",
                json!({ "ips": [{ "version": "4", "address": "10.0.0.2/24" }], "dns": {} }),
            ),
            (
                "1.1.0",
                json!({
                    "interfaces": [{ "name": "eth0", "mtu": 1400, "sandbox": "/run/netns/a" }],
                    "ips": [{ "interface": 0, "address": "10.0.0.2/24", "gateway": "10.0.0.1" }],
                    "routes": [{ "dst": "0.0.0.0/0", "table": 7, "scope": 0 }],
                    "dns": { "nameservers": ["10.0.0.53"] },
                }),
            ),
        ] {
            let sandbox = lab.sandbox();
            let mut previous = address;
            previous["cniVersion"] = json!(version);
            let result = call(lab, &sandbox, version).after(&previous).add();
            assert_eq!(result, previous);
            assert!(is_up(&sandbox));
        }
    });
}

#[test]
fn a_failed_add_leaves_lo_as_it_was() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let call = call(lab, &sandbox, "1.0.0");
        for (previous, code, says) in [
            (json!(7), 6, "prevResult"),
            (json!({ "cniVersion": "0.3.1" }), 6, "0.3.1"),
            (json!({ "ips": [{ "address": "10.0.0.2" }] }), 6, "10.0.0.2"),
        ] {
            let told = call.after(&previous).verb("ADD").run().failed(code);
            assert!(told.contains(says), "{told}");
            assert!(!is_up(&sandbox), "{told}");
        }
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        let stranger = "10.7.7.7".parse().unwrap();
        lo.add_addr(stranger, 32, AddrFlags::default()).unwrap();
        let told = call.clone().verb("ADD").run().failed(999);
        let says = "loopback interface found with non-loopback address \"10.7.7.7\"";
        assert!(told.contains(says), "{told}");
        assert!(!is_up(&sandbox));
    });
}

#[test]
fn each_suite_takes_over_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("loopback") else {
            return;
        };
        for version in ["0.4.0", "1.0.0"] {
            let sandbox = lab.sandbox();
            let ours = call(lab, &sandbox, version);
            let theirs = lab.foreign(go, "loopback").of("pod", &sandbox);
            let theirs = theirs.conf(&conf(version));
            for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
                let result = one.add();
                other.check(&result);
                other.after(&result).del();
                assert!(!is_up(&sandbox));
            }
        }
    });
}
