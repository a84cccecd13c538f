//! Rules belong to an attachment, not to an address.

use linkspan_filter::table::TABLE;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::table::{elements, everything, netfilter, shared};
use linkspan_harness::tool::{older_iptables, tool};
use linkspan_nftables::Batch;
use serde_json::{Value, json};

use crate::{LINKSPAN, NATIVE, OLDER, Pod, about, saved};

const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Each place of rules.
fn everywhere(test: fn(&Lab, &Value, &str, Option<[&str; 2]>)) {
    let iptables = json!({ "backend": "iptables" });
    in_lab(LINKSPAN, |lab| test(lab, &json!({}), SYSTEM, None));
    in_lab(LINKSPAN, |lab| {
        if saved(NATIVE).is_some() {
            test(lab, &iptables, SYSTEM, Some(NATIVE));
        }
    });
    in_lab(LINKSPAN, |lab| {
        if let Some(path) = older_iptables(lab) {
            test(lab, &iptables, &path, Some(OLDER));
        }
    });
}

/// Minimum number of iptables rules for an address of the pod.
fn rules(pod: &Pod, kind: Option<[&str; 2]>) -> usize {
    let Some(kind) = kind else { return 2 };
    let each = pod.addresses().into_iter();
    each.map(|ip| about(kind, &ip.to_string()).len())
        .min()
        .unwrap()
}

#[test]
fn a_late_del_takes_nothing_from_the_addresss_new_owner() {
    everywhere(|lab, over, path, kind| {
        let pod = Pod::on_bridge(lab, "old", 0, over).with_path(path);
        pod.firewall(lab).add();
        let new = pod.firewall(lab).env("CNI_CONTAINERID", "new");
        new.add();
        assert_eq!(rules(&pod, kind), 2);
        pod.firewall(lab).del();
        pod.firewall(lab).del();
        assert_eq!(rules(&pod, kind), 2);
        new.check(&pod.result);
        new.del();
        assert_eq!(rules(&pod, kind), if kind.is_some() { 0 } else { 2 });
        assert_eq!(elements(lab), [""; 0]);
        new.after(&pod.result).verb("CHECK").run().failed(999);
    });
}

/// Takes away what the first layout did not have.
fn forget_holders(lab: &Lab) {
    let mut batch = Batch::default();
    batch.flush_chain(TABLE, "firewall");
    batch.delete_chain(TABLE, "firewall");
    for set in ["firewall_holders_v4", "firewall_holders_v6"] {
        batch.delete_set(TABLE, set);
    }
    batch.ensure_chain(TABLE, "firewall");
    netfilter(lab).commit(batch).unwrap();
}

#[test]
fn addresses_of_the_first_layout_are_their_owners() {
    everywhere(|lab, over, path, kind| {
        let pod = Pod::on_bridge(lab, "old", 0, over).with_path(path);
        pod.firewall(lab).add();
        forget_holders(lab);
        let new = pod.firewall(lab).env("CNI_CONTAINERID", "new");
        new.add();
        pod.firewall(lab).del();
        assert_eq!(rules(&pod, kind), 2);
        new.check(&pod.result);
        new.del();
        assert_eq!(rules(&pod, kind), if kind.is_some() { 0 } else { 2 });
        assert_eq!((elements(lab), shared_policies(lab)), (vec![], vec![]));
    });
}

#[test]
fn del_needs_neither_a_result_nor_a_namespace() {
    everywhere(|lab, over, path, kind| {
        for policy in ["open", "same-bridge", "isolated"] {
            let over = with(
                over.clone(),
                &json!({ "ingressPolicy": policy, "allowPublished": true }),
            );
            let first = Pod::on_bridge(lab, "first", 0, &over).with_path(path);
            first.firewall(lab).add();
            first.detach(lab);
            let before = (everything(lab), saved(OLDER));
            let pod = Pod::on_bridge(lab, "pod", 0, &over).with_path(path);
            pod.firewall(lab).add();
            pod.firewall(lab).add();
            pod.check(lab);
            assert_ne!(everything(lab), before.0);
            pod.alone(lab).without("CNI_NETNS").del();
            assert_eq!((everything(lab), saved(OLDER)), before, "{policy} {kind:?}");
            assert_eq!(shared_policies(lab), [""; 0]);
            pod.detach(lab);
        }
    });
}

fn shared_policies(lab: &Lab) -> Vec<String> {
    let mut lines = shared(lab);
    lines.retain(|line| line.starts_with("firewall"));
    lines
}

#[test]
fn a_result_that_has_lost_an_address_hides_nothing_from_del() {
    everywhere(|lab, over, path, kind| {
        let pod = Pod::on_bridge(lab, "pod", 0, over).with_path(path);
        pod.firewall(lab).add();
        assert_eq!(elements(lab).len(), 2);
        let mut told = pod.result.clone();
        told["ips"].as_array_mut().unwrap().truncate(1);
        pod.firewall(lab).after(&told).del();
        assert_eq!((elements(lab), shared_policies(lab)), (vec![], vec![]));
        assert_eq!(rules(&pod, kind), if kind.is_some() { 0 } else { 2 });
    });
}

#[test]
fn a_policy_goes_with_the_last_container_of_its_bridge() {
    everywhere(|lab, over, path, kind| {
        let over = with(over.clone(), &json!({ "ingressPolicy": "isolated" }));
        let pods = ["a", "b"].map(|id| Pod::on_bridge(lab, id, 0, &over).with_path(path));
        for pod in &pods {
            pod.firewall(lab).add();
        }
        let there = || kind.is_none_or(|kind| !about(kind, "-o br0").is_empty());
        assert!(there() && !shared_policies(lab).is_empty());
        pods[0].detach(lab);
        assert!(there() && !shared_policies(lab).is_empty());
        pods[1].check(lab);
        // Another container, without state in our table, still exists.
        let other = Pod::on_bridge(lab, "other", 0, &over);
        pods[1].alone(lab).del();
        assert!(there() && !shared_policies(lab).is_empty() || kind.is_none());
        drop(other);
    });
}

#[test]
fn gc_keeps_what_valid_attachments_have() {
    everywhere(|lab, over, path, kind| {
        let over = with(
            over.clone(),
            &json!({ "cniVersion": "1.1.0", "ingressPolicy": "same-bridge" }),
        );
        let pods = ["a", "b", "c"].map(|id| Pod::on_bridge(lab, id, 0, &over).with_path(path));
        for pod in &pods {
            pod.firewall(lab).add();
        }
        let valid =
            json!({ "cni.dev/valid-attachments": [{ "containerID": "b", "ifname": "eth0" }] });
        let gc = pods[0].alone(lab).conf(&with(pods[0].conf.clone(), &valid));
        gc.verb("GC").run().succeeded();
        pods[1].check(lab);
        let left = [0, 1, 2].map(|at| rules(&pods[at], kind));
        assert_eq!(left, if kind.is_some() { [0, 2, 0] } else { [2, 2, 2] });
        assert_eq!(elements(lab).len(), 3);
    });
}

#[test]
fn restore_puts_back_what_was_flushed() {
    everywhere(|lab, over, path, kind| {
        let over = with(over.clone(), &json!({ "ingressPolicy": "isolated" }));
        let pod = Pod::on_bridge(lab, "pod", 0, &over).with_path(path);
        let call = pod.firewall(lab);
        call.add();
        for program in kind.into_iter().flatten() {
            tool(program, &["-w", "-F"]).unwrap();
        }
        if kind.is_none() {
            lab.linkspan(&["clear"]).run().succeeded();
        }
        let told = call.clone().verb("CHECK").run().failed(999);
        assert!(told.contains("linkspan restore"), "{told}");
        call.clone().verb("LINKSPAN_RESTORE").run().succeeded();
        pod.check(lab);
    });
}

#[test]
fn an_unknown_policy_is_refused_before_anything_is_touched() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::on_bridge(lab, "pod", 0, &json!({ "ingressPolicy": "closed" }));
        let before = everything(lab);
        let told = pod.firewall(lab).verb("ADD").run().failed(7);
        assert!(
            told.contains("unknown ingress policy: \"closed\""),
            "{told}"
        );
        assert_eq!(everything(lab), before);
        pod.firewall(lab).del();
    });
}
