//! The administrator's list of allowed sysctls, in a mount namespace that has an `/etc` of its own.

use std::fs;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::lab::{Lab, in_lab};
use serde_json::json;

use crate::{LINKSPAN, attached, call};

/// The call where the list holds these bytes.
fn with_list(lab: &Lab, call: Call, list: &[u8]) -> Output {
    let file = lab.dir().join("list");
    fs::write(&file, list).unwrap();
    let script = "mount -t tmpfs tmpfs /etc && mkdir -p /etc/cni/tuning && \
        cp \"$0\" /etc/cni/tuning/allowlist.conf && exec \"$@\"";
    call.under(&["unshare", "-m", "sh", "-c", script, file.to_str().unwrap()])
        .run()
}

#[test]
fn a_sysctl_that_is_not_on_the_list_is_refused() {
    let of_others = "^net\\.ipv4\\.conf\\.other\\.[a-z_]*$";
    let of_all = "^net\\.ipv4\\.conf\\.all\\.[a-z_]*$";
    let key = "net.ipv4.conf.all.log_martians";
    let refused = format!("Sysctl {key} is not allowed. Only the following sysctls are allowed: [");
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let over = json!({ "cniVersion": "1.1.0", "sysctl": { (key): "1" } });
        let by_args =
            json!({ "cniVersion": "1.1.0", "args": { "cni": { "sysctl": { (key): "1" } } } });
        for over in [over, by_args] {
            let tuning = call(lab, &sandbox, &previous, &over);
            let run =
                |verb: &str, list: &str| with_list(lab, tuning.clone().verb(verb), list.as_bytes());
            run("ADD", &format!("{of_others}\n\n  {of_all}  \n")).succeeded();
            run("STATUS", of_all).succeeded();
            let told = run("ADD", of_others).failed(7);
            assert!(
                told.starts_with(&format!("{refused}{of_others}]")),
                "{told}"
            );
            assert!(run("ADD", "").failed(7).starts_with(&refused));
            assert!(run("STATUS", of_others).failed(50).starts_with(&refused));
            // An invalid expression allows nothing.
            let told = run("ADD", &format!("{of_all}\n(\n")).failed(999);
            assert!(told.contains("is not a regular expression"), "{told}");
            let told = with_list(lab, tuning.clone().verb("ADD"), b"\xff").failed(999);
            assert!(
                told.starts_with("read /etc/cni/tuning/allowlist.conf: "),
                "{told}"
            );
            run("DEL", of_others).succeeded();
        }
        // A configuration without sysctls needs no list.
        let tuning = call(lab, &sandbox, &previous, &json!({ "mtu": 1400 }));
        with_list(lab, tuning.verb("ADD"), b"(").succeeded();
    });
}
