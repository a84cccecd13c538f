//! The Go plugin's file equals ours byte for byte, and either suite restores the other's changes.

use std::fs;

use linkspan_harness::conf::with;
use linkspan_harness::lab::{go_plugins, in_lab};
use linkspan_harness::skip;
use serde_json::json;

use crate::{LINKSPAN, attached, call, conf, every, files, settings};

#[test]
fn each_suite_checks_and_puts_back_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("tuning") else {
            return;
        };
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let before = settings(&sandbox);
        let theirs = lab.foreign(go, "tuning").of("pod", &sandbox);
        // The Go plugin compares the text with the kernel's.
        let sysctl = json!({ "net.core.somaxconn": "500" });
        let over = with(
            every(),
            &json!({ "mac": "c2:11:22:33:44:55", "sysctl": sysctl }),
        );
        for over in [with(over.clone(), &json!({ "txQLen": null })), over] {
            let ours = call(lab, &sandbox, &previous, &over);
            let theirs = theirs.clone().conf(&conf(lab, &over)).after(&previous);
            let mut kept = Vec::new();
            for (adds, deletes) in [(&theirs, &ours), (&ours, &theirs)] {
                let result = adds.add();
                let at = lab.dir().join("tuning/pod_eth0.json");
                kept.push(fs::read_to_string(at).unwrap());
                if over.get("txQLen").is_some() && !kept[0].contains("txQLen") {
                    skip::tell("txQLen: the Go plugin does not know it");
                    return;
                }
                deletes.check(&result);
                deletes.after(&result).del();
                assert_eq!(settings(&sandbox), before);
                // Our DEL or GC removes a memory, which the Go plugin does not know.
                ours.del();
                assert_eq!(settings(&sandbox), before);
                assert_eq!(files(lab), [""; 0]);
            }
            assert_eq!(kept[0], kept[1]);
            theirs.add();
            ours.add();
            ours.del();
            assert_eq!(settings(&sandbox), before);
        }
    });
}
