//! ADD, CHECK and DEL of a list.

use std::fs;

use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, linkspan, net_dir, remembered};

#[test]
fn each_plugin_sees_the_result_before_it_and_del_sees_the_last() {
    in_lab(LINKSPAN, |lab| {
        let dir = net_dir(
            lab,
            &json!([bridge(lab, &json!({})), { "type": "loopback" }]),
        );
        let sandbox = lab.sandbox();
        let result = attached(lab, "add", &sandbox).run().json();
        // loopback passes its input on, so the result went through the whole list.
        assert_eq!(result["ips"][0]["address"], "10.1.0.2/16");
        assert_eq!(remembered(lab), ["net-c1-eth0"]);
        attached(lab, "check", &sandbox).run().succeeded();

        let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        eth0.del_addr("10.1.0.2".parse().unwrap(), 16).unwrap();
        let check = attached(lab, "check", &sandbox).run();
        assert_eq!(check.status, 1);
        assert!(check.stderr.contains("10.1.0.2/16"), "{}", check.stderr);

        // The configuration is remembered, too.
        fs::remove_dir_all(dir).unwrap();
        attached(lab, "del", &sandbox).run().succeeded();
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
        assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
    });
}

#[test]
fn a_failing_plugin_undoes_the_ones_before_it_but_not_a_live_attachment() {
    in_lab(LINKSPAN, |lab| {
        let good = bridge(lab, &json!({}));
        net_dir(lab, &json!([good]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let live = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let again = attached(lab, "add", &sandbox).run();
        assert_eq!(again.status, 1);
        assert!(
            again.stderr.contains("plugin type=\"bridge\""),
            "{}",
            again.stderr
        );
        assert_eq!(
            (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox)),
            live
        );

        let other = lab.sandbox();
        for (second, complaint) in [
            (
                json!({ "type": "../bridge" }),
                "invalid plugin name: ../bridge",
            ),
            // It fails only when the first one is done.
            (
                json!({ "type": "host-local" }),
                "plugin type=\"host-local\" failed (add)",
            ),
        ] {
            net_dir(lab, &json!([good, second]));
            let add = linkspan(lab, &["add", "net", &other.path()]).run();
            assert_eq!(add.status, 1);
            assert!(add.stderr.contains(complaint), "{}", add.stderr);
            assert_eq!(
                (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox)),
                live
            );
        }
        assert!(other.rtnl().link_by_name("eth0").unwrap().is_none());
    });
}

#[test]
fn a_broken_cache_does_not_stop_del() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let entry = lab.dir().join("cache/results/net-c1-eth0");
        let half = fs::read(&entry).unwrap();
        fs::write(&entry, &half[..half.len() / 2]).unwrap();
        assert_eq!(attached(lab, "check", &sandbox).run().status, 1);
        for _ in 0..2 {
            attached(lab, "del", &sandbox).run().succeeded();
        }
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn capabilities_and_arguments_reach_the_plugins_and_are_remembered() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "capabilities": { "mac": true } });
        net_dir(lab, &json!([bridge(lab, &over)]));
        let sandbox = lab.sandbox();
        let add = attached(lab, "add", &sandbox)
            .env("CAP_ARGS", r#"{"mac":"02:00:00:00:00:07","bandwidth":{}}"#)
            .env("CNI_ARGS", "IgnoreUnknown=1;IP=10.1.0.77");
        let result = add.run().json();
        assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:07");
        assert_eq!(result["ips"][0]["address"], "10.1.0.77/16");
        let entry = fs::read(lab.dir().join("cache/results/net-c1-eth0")).unwrap();
        let entry: Value = serde_json::from_slice(&entry).unwrap();
        assert_eq!(
            entry["cniArgs"],
            json!([["IgnoreUnknown", "1"], ["IP", "10.1.0.77"]])
        );
        assert_eq!(entry["capabilityArgs"]["bandwidth"], json!({}));
        assert_eq!(entry["result"], result);
        attached(lab, "del", &sandbox).run().succeeded();
        let bad = attached(lab, "add", &sandbox)
            .env("CNI_ARGS", "A=1=2")
            .run();
        assert!(
            bad.stderr.contains("invalid CNI_ARGS pair \"A\"\n"),
            "{}",
            bad.stderr
        );
    });
}

#[test]
fn an_old_list_gets_no_previous_result() {
    in_lab(LINKSPAN, |lab| {
        let dir = net_dir(lab, &json!([]));
        let conf = with(bridge(lab, &json!({})), &json!({ "cniVersion": null }));
        let list = json!({ "cniVersion": "0.3.1", "name": "net", "plugins": [conf] });
        fs::write(dir.join("10-net.conflist"), list.to_string()).unwrap();
        let sandbox = lab.sandbox();
        let result = attached(lab, "add", &sandbox).run().json();
        assert_eq!(result["cniVersion"], "0.3.1");
        let check = attached(lab, "check", &sandbox).run();
        assert!(
            check.stderr.contains("does not support the CHECK command"),
            "{}",
            check.stderr
        );
        attached(lab, "del", &sandbox).run().succeeded();
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}
