//! The Go suite beside ours, in both directions.

use linkspan_harness::lab::go_plugins;
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::wire::each;

#[test]
fn either_suite_detaches_what_the_other_attached() {
    each(|wire| {
        let Some(go) = go_plugins(wire.plugin) else {
            return;
        };
        let (host, sandbox) = (Snapshot::of_host(wire.lab), wire.lab.sandbox());
        let inside = Snapshot::of_sandbox(&sandbox);
        for version in ["1.0.0", "0.3.1"] {
            let conf = wire.conf(&json!({ "cniVersion": version, "mtu": 1400 }));
            let ours = wire.lab.plugin(wire.plugin).of("pod", &sandbox).conf(&conf);
            let theirs = wire
                .lab
                .foreign(go, wire.plugin)
                .of("pod", &sandbox)
                .conf(&conf);

            let first = theirs.add();
            if version == "1.0.0" {
                ours.check(&first);
            }
            ours.after(&first).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);

            let second = ours.add();
            if version == "1.0.0" {
                theirs.check(&second);
            }
            theirs.after(&second).del();
            assert_eq!(Snapshot::of_sandbox(&sandbox), inside);
            assert_eq!(Snapshot::of_host(wire.lab), host);

            // Both answers are equal except for the MAC, which may be random, the addresses, which are next in turn,
            // and the MTU. Debian 12's release writes an empty `dns`.
            let comparable = |mut result: Value| {
                result["interfaces"][0]["mac"] = json!("");
                result["interfaces"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("mtu");
                for ip in result["ips"].as_array_mut().unwrap() {
                    ip["address"] = json!("");
                }
                if result["dns"] == json!({}) {
                    result.as_object_mut().unwrap().remove("dns");
                }
                result
            };
            assert_eq!(comparable(first), comparable(second));
        }
    });
}
