//! Impossible loans: nothing changes, and the error gives the remedy.

use linkspan_harness::conf::host_local;
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::link::{Kind, LinkSpec};
use serde_json::json;

use crate::{LINKSPAN, call, files, is_at_home, nic, pair, within};

#[test]
fn a_failed_add_gives_the_device_back() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let (host, inside) = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let missing = json!({ "ipam": { "type": "missing" } });
        let mut unreachable = json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) });
        unreachable["ipam"]["routes"] = json!([{ "dst": "10.9.0.0/16", "gw": "10.8.0.1" }]);
        // An unread answer counts as a failure.
        let old = json!({ "cniVersion": "0.2.0", "ipam": null });
        let unwritable = json!({ "dataDir": "/proc/none" });
        for over in [missing, unreachable, old, unwritable] {
            let refused = call(lab, ("pod", &sandbox), &over).verb("ADD").run();
            assert_eq!(refused.status, 1, "{over}");
            is_at_home(lab, &before);
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside, "{over}");
            assert_eq!(Snapshot::of_host(lab), host, "{over}");
        }
    });
}

#[test]
fn the_error_says_what_to_do() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        lab.rtnl()
            .create(&LinkSpec::new("br0", Kind::Bridge))
            .unwrap();
        let refused = |over, code, parts: &[&str]| {
            let run = call(lab, ("pod", &sandbox), &over).verb("ADD").run();
            let told = run.failed(code);
            for part in parts {
                assert!(told.contains(part), "{part} is not in {told}");
            }
            is_at_home(lab, &before);
        };
        refused(
            json!({ "device": null }),
            7,
            &["specify either \"device\", \"hwaddr\", \"kernelpath\" or \"pciBusID\""],
        );
        refused(
            json!({ "device": "eno7" }),
            999,
            &[
                "failed to find host device: device \"eno7\": Link not found",
                "nic0 (02:00:00:00:00:07)",
            ],
        );
        refused(
            json!({ "device": null, "hwaddr": "02:00:00:00:00:99" }),
            999,
            &[
                "failed to find host device: failed to find physical interface",
                "nic0",
            ],
        );
        // It has no addresses, and belongs to its namespace on older kernels.
        refused(
            json!({ "device": "lo", "ipam": null }),
            999,
            &[
                "failed to move link lo",
                "devices of this kind belong to one namespace",
            ],
        );
        pair(lab, "tmp0", "tmp1", [2, 0, 0, 0, 0, 10]);
        let inner = crate::on_host(lab, "tmp0");
        inner
            .move_to(std::os::fd::AsFd::as_fd(&sandbox.netns), "net1")
            .unwrap();
        refused(json!({}), 999, &["\"net1\" already exists"]);
        within(&sandbox, "net1").unwrap().delete().unwrap();
        // The host's own namespace.
        let own = format!(
            "/proc/{}/task/{}/ns/net",
            std::process::id(),
            nix::unistd::gettid()
        );
        let told = call(lab, ("pod", &sandbox), &json!({}))
            .netns(&own)
            .env("CNI_NETNS_OVERRIDE", "1")
            .verb("ADD")
            .run()
            .failed(8);
        assert!(told.contains("the host's own network namespace"), "{told}");
        is_at_home(lab, &before);
    });
}

#[test]
fn a_device_that_is_lent_is_told_with_its_holder_and_by_a_strict_status() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let (sandbox, other) = (lab.sandbox(), lab.sandbox());
        let pod = call(lab, ("pod", &sandbox), &json!({}));
        let strict = json!({ "strictStatus": true });
        let strict = call(lab, ("pod", &other), &strict).verb("STATUS");
        strict.run().succeeded();
        pod.add();
        let next = call(lab, ("next", &other), &json!({}));
        let told = next.clone().verb("ADD").run().failed(999);
        assert!(
            told.contains("container pod, interface net1, network net has it"),
            "{told}"
        );
        strict.run().failed(50);
        next.clone().verb("STATUS").run().succeeded();
        next.del();
        assert_eq!(files(lab), ["net:pod:net1"]);
        pod.del();
        is_at_home(lab, &before);
    });
}
