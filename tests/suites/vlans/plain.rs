//! A bridge that does not filter, such as an administrator's.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::frame::Wire;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::{LINKSPAN, call, filters, frames_only, has_vlans, plain_bridge, port, vlans};

fn vlan(id: u16, key: &str) -> Value {
    let mut keys = json!({ "vlan": id });
    if !key.is_empty() {
        keys[key] = json!(true);
    }
    frames_only(&keys)
}

fn mac(sandbox: &Sandbox) -> [u8; 6] {
    sandbox.rtnl().link_by_name("eth0").unwrap().unwrap().mac
}

/// Returns whether a frame of `from` reaches `to`. A frame of `beside`, which is in the VLAN of `to`, follows it.
fn reaches(from: &Sandbox, to: &Sandbox, beside: &Sandbox) -> bool {
    let receiver = Wire::at(&to.netns, "eth0");
    Wire::at(&from.netns, "eth0").send(mac(from), None, b"across");
    Wire::at(&beside.netns, "eth0").send(mac(beside), None, b"beside");
    let first = receiver.receive();
    assert!(first == b"across" || first == b"beside", "{first:?}");
    first == b"across"
}

/// Pods of VLAN 10, 20 and 20.
fn pods(lab: &Lab, key: &str) -> [Sandbox; 3] {
    let pods = [(); 3].map(|()| lab.sandbox());
    for ((id, vlan_id), sandbox) in [("a", 10), ("b", 20), ("c", 20)].into_iter().zip(&pods) {
        let call = call(lab, id, sandbox, &vlan(vlan_id, key));
        let run = call.clone().verb("ADD").run();
        let result = run.json();
        assert_eq!(
            vlans(&port(lab, &result)),
            format!("{vlan_id} PVID untagged")
        );
        let warns = run.stderr.contains("bridge br0 does not filter VLANs");
        assert_eq!(warns, key.is_empty(), "{}", run.stderr);
        call.check(&result);
    }
    pods
}

#[test]
fn by_default_it_stays_as_it_is_and_that_is_told() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        plain_bridge(lab);
        let [a, b, c] = pods(lab, "");
        assert!(!filters(lab));
        assert!(reaches(&a, &b, &c));
    });
}

#[test]
fn strict_vlan_refuses_it_before_anything_is_made() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        plain_bridge(lab);
        let sandbox = lab.sandbox();
        let before = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let call = call(lab, "a", &sandbox, &vlan(10, "strictVlan"));
        for (verb, code) in [("ADD", 7), ("STATUS", 50)] {
            let told = call.clone().verb(verb).run().failed(code);
            assert!(
                told.contains("bridge \"br0\" does not filter VLANs"),
                "{told}"
            );
            assert!(
                told.contains("ip link set br0 type bridge vlan_filtering 1"),
                "{told}"
            );
        }
        let after = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        assert_eq!(after, before);
        // A bridge that we made filters.
        let mut own = vlan(10, "strictVlan");
        own["bridge"] = json!("br1");
        let call = crate::call(lab, "a", &sandbox, &own);
        call.check(&call.add());
        call.verb("STATUS").run().succeeded();
    });
}

#[test]
fn ensure_vlan_filtering_switches_it_on_and_vlans_are_apart() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        plain_bridge(lab);
        let [a, b, c] = pods(lab, "ensureVlanFiltering");
        assert!(filters(lab));
        assert!(!reaches(&a, &b, &c));
        assert!(reaches(&c, &b, &c));
    });
}

#[test]
fn status_warns_of_it_and_of_an_own_vlan_that_the_trunk_takes() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let net_dir = lab.dir().join("net.d");
        fs::create_dir(&net_dir).unwrap();
        let status = |keys: &Value| {
            let firewall = json!({ "type": "firewall" });
            lab.script("firewall", "exit 0");
            let plugins = [bridge(lab, &frames_only(keys)), firewall];
            let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
            fs::write(net_dir.join("10-net.conflist"), list.to_string()).unwrap();
            let call = lab.linkspan(&["--net-dir", net_dir.to_str().unwrap(), "status", "net"]);
            let path = lab.bin();
            call.env("CNI_PATH", path.to_str().unwrap()).run().stderr
        };
        let keys = json!({ "vlan": 200, "vlanTrunk": [{ "id": 200 }] });
        let told = status(&keys);
        assert!(told.contains("VLAN 200 is in \"vlanTrunk\", too"), "{told}");
        assert!(!told.contains("does not filter"), "{told}");
        plain_bridge(lab);
        let told = status(&keys);
        assert!(told.contains("bridge br0 does not filter VLANs"), "{told}");
        assert!(
            told.contains("ip link set br0 type bridge vlan_filtering 1"),
            "{told}"
        );
        for keys in [
            json!({}),
            json!({ "preserveDefaultVlan": true }),
            json!({ "vlan": 7, "ensureVlanFiltering": true }),
        ] {
            let told = status(&keys);
            assert!(!told.contains("VLAN"), "{told}");
        }
    });
}
