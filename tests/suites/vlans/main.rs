//! VLANs of `bridge`. A kernel without VLANs of bridges refuses them clearly, and only that is tested there.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod frames;
mod gateway;
mod plain;
mod table;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_netlink::link::{Kind, Link, LinkSpec, PortVlan};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("bridge").of(id, sandbox);
    call.conf(&bridge(lab, over))
}

/// The same without addresses.
fn frames_only(keys: &Value) -> Value {
    let mut over = keys.clone();
    over["ipam"] = Value::Null;
    over["isDefaultGateway"] = json!(false);
    over
}

fn on_host(lab: &Lab, name: &str) -> Link {
    lab.rtnl().link_by_name(name).unwrap().unwrap()
}

/// The host's end of an attachment.
fn port(lab: &Lab, result: &Value) -> Link {
    on_host(lab, result["interfaces"][1]["name"].as_str().unwrap())
}

/// The port's VLANs as `bridge vlan` prints them.
fn vlans(port: &Link) -> String {
    let text = |vlan: &PortVlan| {
        let pvid = if vlan.pvid { " PVID" } else { "" };
        let untagged = if vlan.untagged { " untagged" } else { "" };
        format!("{}{pvid}{untagged}", vlan.id)
    };
    let vlans = port.vlans().unwrap();
    vlans.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn filters(lab: &Lab) -> bool {
    on_host(lab, "br0").filtering.unwrap().on
}

/// An administrator's bridge, which does not filter.
fn plain_bridge(lab: &Lab) {
    lab.rtnl()
        .create(&LinkSpec::new("br0", Kind::Bridge))
        .unwrap();
}

fn has_vlans(lab: &Lab) -> bool {
    skip::has_bridge_vlans(&lab.rtnl())
}

#[test]
fn a_kernel_without_vlans_for_bridges_says_so_and_nothing_is_made() {
    in_lab(LINKSPAN, |lab| {
        plain_bridge(lab);
        if on_host(lab, "br0").filtering.is_some() {
            return;
        }
        let sandbox = lab.sandbox();
        for (over, says) in [
            (json!({ "vlan": 7 }), "this kernel has no VLANs for bridges"),
            (json!({ "vlanTrunk": [] }), "CONFIG_BRIDGE_VLAN_FILTERING"),
            (
                json!({ "vlan": 7, "bridge": "br1" }),
                "no VLANs for bridges",
            ),
        ] {
            let call = call(lab, "a", &sandbox, &over);
            let told = call.clone().verb("ADD").run().failed(999);
            assert!(told.contains(says), "{told}");
            if over["bridge"].is_null() {
                let told = call.verb("STATUS").run().failed(50);
                assert!(told.contains(says), "{told}");
            }
        }
        assert_eq!(lab.rtnl().links().unwrap().len(), 2);
        // Keys that ask for no VLAN have no effect.
        let keys = json!({ "vlan": 0, "vlanTrunk": null, "preserveDefaultVlan": true, "strictVlan": true,
            "ensureVlanFiltering": true });
        let call = call(lab, "a", &sandbox, &keys);
        call.check(&call.add());
        assert!(on_host(lab, "br0").addrs(Some(Family::V4)).unwrap().len() == 1);
    });
}

#[test]
fn numbers_that_cannot_be_are_refused_before_anything_is_made() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        for (over, says) in [
            (
                json!({ "vlan": 4095 }),
                "invalid VLAN ID 4095 (must be between 0 and 4094)",
            ),
            (
                json!({ "vlanTrunk": [{ "id": 0 }] }),
                "incorrect trunk id parameter",
            ),
            (
                json!({ "vlanTrunk": [{ "minID": 5 }] }),
                "minID and maxID should be configured simultaneously, maxID is missing",
            ),
            (
                json!({ "vlanTrunk": [{ "minID": 5, "maxID": 4 }] }),
                "minID is greater than maxID in trunk parameter",
            ),
            (
                json!({ "vlan": 4000, "bridge": "eleven-long" }),
                "eleven-long.4000",
            ),
        ] {
            let call = call(lab, "a", &sandbox, &over);
            for verb in ["ADD", "STATUS"] {
                let told = call.clone().verb(verb).run().failed(7);
                assert!(told.contains(says), "{told}");
            }
            call.del();
        }
        assert_eq!(lab.rtnl().links().unwrap().len(), 1);
    });
}
