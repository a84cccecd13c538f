//! Either suite detaches the other's attachments, and both make the same device.

use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::go_plugins;
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::link::Tun;
use serde_json::{Value, json};

use crate::{conf, in_tap_lab, settings};

#[test]
fn either_suite_detaches_what_the_other_attached_and_frames_have_the_same_form() {
    in_tap_lab(|lab| {
        let go = go_plugins("tap").filter(|dir| dir.join("tap").exists());
        let Some(go) = go else {
            skip::tell("tap: the Go suite here is older than 1.3.0");
            return;
        };
        if skip::without("ip").is_none() {
            return;
        }
        let owned = json!({ "owner": 0, "group": 0 });
        let many = json!({ "multiQueue": true });
        for (over, is_told) in [
            (json!({}), false),
            (many.clone(), false),
            (json!({ "owner": 0 }), false),
            // The reference sets packet info on this way, by mistake.
            (owned.clone(), true),
            (with(owned, &many), false),
        ] {
            let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
            let over = with(
                over,
                &json!({ "cniVersion": "1.0.0", "ipam": host_local(lab, &["10.1.0.0/16"]) }),
            );
            let conf = conf(lab, &over);
            let ours = lab.plugin("tap").of("pod", &sandbox).conf(&conf);
            let theirs = lab.foreign(go, "tap").of("pod", &sandbox).conf(&conf);
            let inside = Snapshot::of_sandbox(&sandbox);

            let first = theirs.add();
            let made_by_them = settings(&sandbox);
            if is_told {
                ours.after(&first).verb("CHECK").run().failed(999);
            } else {
                ours.check(&first);
            }
            ours.after(&first).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);

            let second = ours.add();
            let made_by_us = settings(&sandbox);
            theirs.check(&second);
            theirs.after(&second).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(Snapshot::of_host(lab), host);

            let has_packet_info = made_by_us.has_packet_info || is_told;
            assert_eq!(
                Tun {
                    has_packet_info,
                    ..made_by_us
                },
                made_by_them,
                "{over}"
            );
            // Both answers are equal except for the MAC, which is random, and the addresses, which are next in turn.
            let comparable = |mut result: Value| {
                result["interfaces"][0]["mac"] = json!("");
                for ip in result["ips"].as_array_mut().unwrap() {
                    ip["address"] = json!("");
                }
                result
            };
            assert_eq!(comparable(first), comparable(second));
        }
    });
}
