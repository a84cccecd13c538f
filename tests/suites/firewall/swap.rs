//! The rules equal the Go plugin's byte for byte, and either suite checks and removes the other's rules.

use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::table::everything;
use linkspan_harness::tool::older_iptables;
use serde_json::{Value, json};

use crate::{LINKSPAN, NATIVE, OLDER, Pod, about, saved};

const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The same call of the Go plugin.
fn of_go(call: &Call, go: &Path) -> Call {
    call.clone()
        .exe(&go.join("firewall"))
        .env("CNI_PATH", &go.to_string_lossy())
}

/// Two containers on each of two bridges, with the Go plugin's policies.
fn pods(lab: &Lab, go: &Path, path: &str) -> Vec<Pod> {
    let policies = policies(lab, go);
    let pod = |(id, number): (&'static str, usize)| {
        let over = json!({ "backend": "iptables", "ingressPolicy": policies[number] });
        Pod::on_bridge(lab, id, number, &over).with_path(path)
    };
    [("a", 0), ("b", 1), ("c", 0), ("d", 1)].map(pod).into()
}

/// Policies for the two bridges. The older Go plugin lacks one, and has other comments in its rules.
fn policies(lab: &Lab, go: &Path) -> [&'static str; 2] {
    let pod = Pod::on_bridge(lab, "probe", 2, &json!({ "ingressPolicy": "isolated" }));
    let probe = of_go(&pod.firewall(lab).conf(&pod.conf), go);
    if probe.verb("DEL").run().status == 0 {
        return ["same-bridge", "isolated"];
    }
    skip::tell("policies: the Go plugin is too old for isolated");
    ["open", "open"]
}

/// The content of nf_tables, without our own table.
fn natives(lab: &Lab) -> Vec<String> {
    let mut lines = everything(lab);
    lines.retain(|line| !line.contains(" linkspan"));
    lines
}

#[test]
fn rules_are_those_of_the_go_plugin_byte_for_byte() {
    let Some(go) = go_plugins("the rules of firewall") else {
        return;
    };
    let mut both = Vec::new();
    for ours in [false, true] {
        let mut lines = Vec::new();
        in_lab(LINKSPAN, |lab| {
            let pods = pods(lab, go, SYSTEM);
            for pod in &pods {
                let call = pod.firewall(lab);
                let call = if ours { call } else { of_go(&call, go) };
                call.add();
            }
            if saved(NATIVE).is_some() {
                lines = natives(lab);
                lines.retain(|line| line.contains(" filter"));
            }
        });
        both.push(lines);
    }
    assert!(both[0].len() > 20 || both[0].is_empty(), "{:#?}", both[0]);
    assert_eq!(both[0], both[1]);
}

#[test]
fn rules_of_the_older_packet_filter_are_those_of_the_go_plugin() {
    let Some(go) = go_plugins("the rules of firewall") else {
        return;
    };
    let mut both = Vec::new();
    for ours in [false, true] {
        let mut lines = Vec::new();
        in_lab(LINKSPAN, |lab| {
            let Some(path) = older_iptables(lab) else {
                return;
            };
            for pod in &pods(lab, go, &path) {
                let call = pod.firewall(lab);
                let call = if ours { call } else { of_go(&call, go) };
                call.add();
                // The second call finds all of it.
                call.add();
            }
            lines = saved(OLDER).unwrap();
            assert!(!natives(lab).iter().any(|line| line.contains(" filter")));
        });
        both.push(lines);
    }
    assert_eq!(both[0], both[1]);
}

#[test]
fn each_suite_checks_and_removes_what_the_other_made() {
    in_lab(LINKSPAN, |lab| exchange(lab, SYSTEM, NATIVE));
}

#[test]
fn each_suite_checks_and_removes_what_the_other_made_in_the_older_packet_filter() {
    in_lab(LINKSPAN, |lab| {
        if let Some(path) = older_iptables(lab) {
            exchange(lab, &path, OLDER);
        }
    });
}

fn exchange(lab: &Lab, path: &str, kind: [&str; 2]) {
    let Some(go) = go_plugins("the swap of firewall") else {
        return;
    };
    if saved(kind).is_none() {
        return;
    }
    let all = [("a", "open"), ("b", "same-bridge"), ("c", "isolated")];
    let known = if policies(lab, go) == ["open"; 2] {
        &all[..1]
    } else {
        &all
    };
    for (id, policy) in known.iter().copied() {
        let over: Value = json!({ "backend": "iptables", "ingressPolicy": policy });
        let pod = Pod::on_bridge(lab, id, 0, &over).with_path(path);
        let ours = pod.firewall(lab);
        let theirs = of_go(&ours, go);
        for (adds, other) in [(&theirs, &ours), (&ours, &theirs)] {
            adds.add();
            if policy == "isolated" {
                // The Go plugin leaves the bridge's port open, and our CHECK reports that.
                ours.add();
            }
            for call in [adds, other] {
                call.check(&pod.result);
            }
            for ip in pod.addresses() {
                assert_eq!(about(kind, &ip.to_string()).len(), 2, "{ip}");
            }
            other.del();
            for ip in pod.addresses() {
                assert_eq!(about(kind, &ip.to_string()), [""; 0], "{ip}");
            }
            // Elements and a policy, which the Go plugin's DEL does not know, go with a DEL of ours.
            ours.del();
        }
        pod.detach(lab);
        assert_eq!(about(kind, "-o br0"), [""; 0], "{policy}");
    }
}
