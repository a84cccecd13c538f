//! Settings that ADD makes, and their return.

use std::fs;

use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, call, conf, every, files, pair, settings, sysctl};

#[test]
fn every_setting_is_made_told_checked_and_put_back() {
    in_lab(LINKSPAN, |lab| {
        for over in [every(), json!({ "args": { "cni": every() } })] {
            let sandbox = lab.sandbox();
            let previous = attached(lab, &sandbox);
            let before = settings(&sandbox);
            let tuning = call(lab, &sandbox, &previous, &over);
            let result = tuning.add();
            let now = settings(&sandbox);
            assert_eq!(now.mac, Some([0xc2, 0x11, 0x22, 0x33, 0x44, 0x55]));
            assert!(now.promiscuous && now.all_multicast);
            assert_eq!((now.mtu, now.queue_length), (1454, 0));
            let eth0 = result["interfaces"].as_array().unwrap().iter();
            let mut eth0 = eth0.filter(|interface| interface["name"] == "eth0");
            assert_eq!(eth0.next().unwrap()["mac"], "C2:11:22:33:44:55");
            tuning.check(&result);
            let at = lab.dir().join("tuning/pod_eth0.json");
            let backup: Value = serde_json::from_slice(&fs::read(at).unwrap()).unwrap();
            assert_eq!(backup["mtu"], before.mtu);
            assert_eq!(backup["promisc"], false);
            tuning.del();
            assert_eq!(settings(&sandbox), before);
            assert_eq!(files(lab), [""; 0]);
            tuning.del();
            pair(lab, &sandbox).del();
        }
    });
}

#[test]
fn without_keys_nothing_is_looked_at() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0" }], "ips": [{ "address": "10.1.0.7/24" }] });
        let tuning = call(
            lab,
            &sandbox,
            &previous,
            &json!({ "sysctl": null, "args": null }),
        );
        let astray = tuning.clone().netns("/nonexistent");
        assert_eq!(astray.add(), previous);
        astray.check(&previous);
        astray.del();
        assert!(!lab.dir().join("tuning").exists());
    });
}

#[test]
fn two_adds_do_not_lose_what_was_before_the_first() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let before = settings(&sandbox);
        for over in [
            every(),
            every(),
            json!({ "mtu": 1300, "mac": "02:00:00:00:00:09" }),
        ] {
            call(lab, &sandbox, &previous, &over).add();
        }
        assert_eq!(settings(&sandbox).mtu, 1300);
        call(lab, &sandbox, &previous, &json!({})).del();
        assert_eq!(settings(&sandbox), before);
        assert_eq!(files(lab), [""; 0]);
    });
}

#[test]
fn a_failed_add_leaves_the_link_the_sysctls_and_no_file() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let before = (settings(&sandbox), Snapshot::of_sandbox(&sandbox));
        let somaxconn = sysctl(&sandbox, "net/core/somaxconn");
        let mut over = every();
        // The kernel refuses this one, which comes last.
        over["mtu"] = json!(1_000_000);
        over["sysctl"] = json!({ "net.core.somaxconn": "77", "net.ipv4.ip_forward": "1" });
        let told = call(lab, &sandbox, &previous, &over)
            .verb("ADD")
            .run()
            .failed(999);
        assert!(told.starts_with("set mtu of eth0: "), "{told}");
        assert_eq!((settings(&sandbox), Snapshot::of_sandbox(&sandbox)), before);
        assert_eq!(sysctl(&sandbox, "net/core/somaxconn"), somaxconn);
        assert_eq!(sysctl(&sandbox, "net/ipv4/ip_forward"), "0");
        assert_eq!(files(lab), [""; 0]);
        // An earlier ADD's values come back, and its backup stays.
        call(lab, &sandbox, &previous, &every()).add();
        call(lab, &sandbox, &previous, &over)
            .verb("ADD")
            .run()
            .failed(999);
        assert_eq!(settings(&sandbox).mtu, 1454);
        call(lab, &sandbox, &previous, &json!({})).del();
        assert_eq!(settings(&sandbox), before.0);
    });
}

#[test]
fn a_late_del_leaves_what_another_container_has() {
    in_lab(LINKSPAN, |lab| {
        let (sandbox, other) = (lab.sandbox(), lab.sandbox());
        let previous = attached(lab, &sandbox);
        call(lab, &sandbox, &previous, &every()).add();
        let stranger = lab.plugin("ptp").of("other", &other);
        let ipam = json!({ "type": "static", "addresses": [{ "address": "10.1.0.8/24", "gateway": "10.1.0.1" }] });
        stranger.conf(&json!({ "cniVersion": "1.0.0", "name": "net", "type": "ptp", "mtu": 1400, "ipam": ipam })).add();
        let theirs = settings(&other);
        call(lab, &sandbox, &previous, &json!({}))
            .netns(&other.path())
            .del();
        assert_eq!(settings(&other), theirs);
        assert_eq!(files(lab), [""; 0]);
    });
}

#[test]
fn gc_puts_back_and_forgets_what_no_valid_attachment_has() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let before = settings(&sandbox);
        let tuning = call(lab, &sandbox, &previous, &every());
        tuning.add();
        let kept = files(lab);
        assert_eq!(kept, ["net:pod:eth0", "pod_eth0.json"]);
        let gc = |network: &str, valid: Value| {
            let over = json!({ "name": network, "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid });
            lab.plugin("tuning")
                .conf(&conf(lab, &over))
                .verb("GC")
                .run()
                .succeeded()
                .to_owned()
        };
        gc("net", json!([{ "containerID": "pod", "ifname": "eth0" }]));
        gc("other", json!([]));
        assert_eq!(files(lab), kept);
        gc("net", json!([]));
        assert_eq!(settings(&sandbox), before);
        assert_eq!(files(lab), [""; 0]);
        // Also if the container is gone.
        tuning.add();
        drop(sandbox);
        gc("net", json!([]));
        assert_eq!(files(lab), [""; 0]);
    });
}
