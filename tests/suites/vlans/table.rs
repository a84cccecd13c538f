//! The VLANs of a port, for each combination of the keys; those of the Go suite 1.9.1, and the swap with it.

use std::path::Path;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_netlink::link::PortVlan;
use serde_json::{Value, json};

use crate::{LINKSPAN, call, filters, frames_only, has_vlans, on_host, port, vlans};

/// Keys, whether a new bridge filters, and the port's VLANs.
fn golden() -> Vec<(Value, bool, &'static str)> {
    let own = "1 PVID untagged";
    vec![
        (json!({}), false, own),
        (json!({ "vlan": 0, "vlanTrunk": null }), false, own),
        (json!({ "preserveDefaultVlan": true }), false, own),
        (json!({ "vlan": 100 }), true, "100 PVID untagged"),
        (
            json!({ "vlan": 100, "preserveDefaultVlan": true }),
            true,
            "1 untagged, 100 PVID untagged",
        ),
        (json!({ "vlan": 1 }), true, own),
        (
            json!({ "vlanTrunk": [{ "id": 42 }, { "minID": 100, "maxID": 102 }] }),
            true,
            "1 PVID untagged, 42, 100, 101, 102",
        ),
        (
            json!({ "vlanTrunk": [{ "id": 42 }], "preserveDefaultVlan": true }),
            true,
            "1 PVID untagged, 42",
        ),
        (
            json!({ "vlan": 100, "vlanTrunk": [{ "id": 7 }] }),
            true,
            "7, 100 PVID untagged",
        ),
        (
            json!({ "vlan": 200, "vlanTrunk": [{ "id": 42 }, { "id": 200 }] }),
            true,
            "42, 200",
        ),
        (json!({ "vlanTrunk": [] }), true, own),
        (json!({ "vlanTrunk": [{}] }), true, own),
        (
            json!({ "vlanTrunk": [{ "id": 5, "minID": 7, "maxID": 9 }] }),
            true,
            "1 PVID untagged, 5, 7, 8, 9",
        ),
    ]
}

#[test]
fn the_table_of_a_port_is_that_of_the_reference() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        for (keys, is_filtering, expected) in golden() {
            let sandbox = lab.sandbox();
            let call = call(lab, "a", &sandbox, &frames_only(&keys));
            let result = call.add();
            assert_eq!(vlans(&port(lab, &result)), expected, "{keys}");
            assert_eq!(filters(lab), is_filtering, "{keys}");
            assert_eq!(vlans(&on_host(lab, "br0")), "1 PVID untagged");
            call.check(&result);
            call.del();
            on_host(lab, "br0").delete().unwrap();
        }
    });
}

/// Returns whether this Go plugin is a current one. That of Debian 12 has no trunks, and always keeps the default
/// VLAN.
fn is_of_today(lab: &Lab, go: &Path) -> bool {
    let sandbox = lab.sandbox();
    let keys = frames_only(&json!({ "vlan": 100, "cniVersion": "1.0.0" }));
    let theirs = lab.foreign(go, "bridge").of("probe", &sandbox);
    let theirs = theirs.conf(&bridge(lab, &keys));
    let found = vlans(&port(lab, &theirs.add()));
    theirs.del();
    on_host(lab, "br0").delete().unwrap();
    found == "100 PVID untagged"
}

/// Only a current plugin makes this table.
#[test]
fn each_suite_takes_over_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let Some(go) = go_plugins("VLANs") else {
            return;
        };
        let is_of_today = is_of_today(lab, go);
        for (keys, is_filtering, expected) in golden() {
            for version in ["0.4.0", "1.0.0"] {
                let sandbox = lab.sandbox();
                let mut over = keys.clone();
                over["cniVersion"] = json!(version);
                let ours = call(lab, "a", &sandbox, &over);
                let theirs = lab.foreign(go, "bridge").of("a", &sandbox);
                let theirs = theirs.conf(&bridge(lab, &over));
                for (one, other) in [(&theirs, &ours), (&ours, &theirs)] {
                    let result = one.add();
                    if is_of_today {
                        assert_eq!(vlans(&port(lab, &result)), expected, "{keys}");
                        assert_eq!(filters(lab), is_filtering, "{keys}");
                        other.check(&result);
                    }
                    other.after(&result).del();
                    assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
                    assert_eq!(lab.leased("net"), [""; 0]);
                    // The next one finds the gateway, or creates it.
                    if let Some(vlan) = over["vlan"].as_u64().filter(|vlan| *vlan > 0) {
                        assert_eq!(result["interfaces"][3]["name"], format!("br0.{vlan}"));
                    }
                }
                for link in lab.rtnl().links().unwrap() {
                    if link.name.starts_with("br0") {
                        link.delete().unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn check_compares_the_vlans_of_the_port() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let sandbox = lab.sandbox();
        let keys = json!({ "vlan": 100, "vlanTrunk": [{ "minID": 7, "maxID": 9 }] });
        let call = call(lab, "a", &sandbox, &frames_only(&keys));
        let result = call.add();
        call.check(&result);
        let port = port(lab, &result);
        let of_port = |id| PortVlan {
            id,
            pvid: false,
            untagged: false,
        };
        let fails = |found: &str| {
            let told = call.after(&result).verb("CHECK").run().failed(999);
            assert!(told.contains("7, 8, 9, 100 PVID untagged"), "{told}");
            assert!(told.contains(found), "{told}");
        };
        port.leave_vlan(8).unwrap();
        fails("7, 9, 100 PVID untagged");
        port.add_vlans(&[of_port(8), of_port(100)]).unwrap();
        fails("7, 8, 9, 100");
        let own = PortVlan {
            pvid: true,
            untagged: true,
            ..of_port(100)
        };
        port.add_vlans(&[own, of_port(4094)]).unwrap();
        fails("4094");
        port.leave_vlan(4094).unwrap();
        call.check(&result);
    });
}
