//! Either suite returns the other's devices, and both answer the same.

use linkspan_harness::lab::{go_plugins, in_lab};
use serde_json::{Value, json};

use crate::{LINKSPAN, NIC, call, conf, files, nic, on_host, state, within};

#[test]
fn either_suite_takes_back_what_the_other_has_lent() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("host-device") else {
            return;
        };
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let over = json!({ "cniVersion": "1.0.0" });
        let ours = call(lab, ("pod", &sandbox), &over);
        let theirs = lab.foreign(go, "host-device").of("pod", &sandbox);
        let theirs = theirs.env("CNI_IFNAME", "net1").conf(&conf(lab, &over));

        let first = theirs.add();
        ours.check(&first);
        ours.after(&first).del();
        // The reference remembers neither state nor alias.
        assert_eq!(on_host(lab, NIC).alias, "");
        assert_eq!(files(lab), [""; 0]);
        assert_eq!(lab.leased("net"), [""; 0]);
        let settings = state(lab, NIC).unwrap().settings;
        assert_eq!(settings, before.settings);
        assert!(within(&sandbox, "net1").is_none());

        let second = ours.add();
        theirs.check(&second);
        theirs.after(&second).del();
        assert_eq!(state(lab, NIC).unwrap().settings, before.settings);
        // A later DEL or GC forgets our memory of it.
        ours.after(&second).del();
        assert_eq!(files(lab), [""; 0]);

        // Both answers are equal except for the addresses, which are next in turn.
        let comparable = |mut result: Value| {
            // The reference of Debian 12 writes an empty one.
            let dns = result.as_object_mut().unwrap().remove("dns");
            assert!(dns.is_none_or(|dns| dns == json!({})));
            for ip in result["ips"].as_array_mut().unwrap() {
                ip["address"] = json!("");
            }
            result
        };
        assert_eq!(comparable(first), comparable(second));
    });
}
