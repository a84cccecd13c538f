//! Frames with and without tags, between ports with VLANs and trunks.

use linkspan_harness::frame::Wire;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, LinkSpec, Vlan};
use serde_json::{Value, json};

use crate::{LINKSPAN, call, frames_only, has_vlans};

fn attach(lab: &Lab, id: &str, keys: &Value) -> Sandbox {
    let sandbox = lab.sandbox();
    call(lab, id, &sandbox, &frames_only(keys)).add();
    sandbox
}

fn mac(sandbox: &Sandbox) -> [u8; 6] {
    sandbox.rtnl().link_by_name("eth0").unwrap().unwrap().mac
}

/// Each port receives the frames of its VLANs: frames are sent in order, and others are missing.
#[test]
fn a_port_receives_the_frames_of_its_vlans_alone() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let trunk = attach(
            lab,
            "trunk",
            &json!({ "vlanTrunk": [{ "id": 10 }, { "id": 20 }] }),
        );
        let ten = attach(lab, "ten", &json!({ "vlan": 10 }));
        let twenty = attach(lab, "twenty", &json!({ "vlan": 20, "macspoofchk": true }));
        let none = attach(lab, "none", &json!({}));
        let wire = |sandbox: &Sandbox| Wire::at(&sandbox.netns, "eth0");
        let receivers = [&ten, &twenty, &none].map(wire);
        let sender = wire(&trunk);
        for (tag, payload) in [
            (Some(30), "not a member"),
            (Some(10), "in ten"),
            (Some(20), "in twenty"),
            (None, "in the default"),
        ] {
            sender.send(mac(&trunk), tag, payload.as_bytes());
        }
        for (receiver, expected) in receivers
            .iter()
            .zip(["in ten", "in twenty", "in the default"])
        {
            assert_eq!(receiver.receive(), expected.as_bytes());
        }
        // The other direction: a port with a VLAN of its own cannot send into another one.
        let receiver = wire(&none);
        wire(&ten).send(mac(&ten), None, b"from ten");
        wire(&ten).send(mac(&ten), Some(1), b"tagged");
        sender.send(mac(&trunk), None, b"last");
        assert_eq!(receiver.receive(), b"last");
    });
}

#[test]
fn an_own_vlan_in_the_trunk_drops_frames_without_a_tag_unless_strict() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let both = json!({ "vlan": 200, "vlanTrunk": [{ "id": 42 }, { "id": 200 }] });
        let mut strict = both.clone();
        strict["strictVlan"] = json!(true);
        let peer = attach(lab, "peer", &json!({ "vlan": 200 }));
        let (lost, kept) = (attach(lab, "lost", &both), attach(lab, "kept", &strict));
        let receiver = Wire::at(&peer.netns, "eth0");
        Wire::at(&lost.netns, "eth0").send(mac(&lost), None, b"lost");
        Wire::at(&kept.netns, "eth0").send(mac(&kept), None, b"kept");
        assert_eq!(receiver.receive(), b"kept");
        // A warning names the reference's table.
        let sandbox = lab.sandbox();
        let run = call(lab, "c", &sandbox, &frames_only(&both))
            .verb("ADD")
            .run();
        assert!(
            run.stderr.contains("VLAN 200 is in \"vlanTrunk\", too"),
            "{}",
            run.stderr
        );
    });
}

/// A pod with a trunk has an interface for each of its VLANs.
#[test]
fn a_pod_with_a_trunk_has_an_interface_for_each_vlan() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let trunk = json!({ "vlanTrunk": [{ "minID": 10, "maxID": 20 }], "macspoofchk": true });
        let (a, b) = (attach(lab, "a", &trunk), attach(lab, "b", &trunk));
        for (last, sandbox) in [(2u8, &a), (3, &b)] {
            let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            for id in [10u8, 20] {
                let name = format!("eth0.{id}");
                let spec = LinkSpec::new(&*name, Kind::Vlan(Vlan::of(id.into())));
                eth0.create_child(&spec).unwrap();
                let vlan = sandbox.rtnl().link_by_name(&name).unwrap().unwrap();
                let ip = [10, id, 0, last].into();
                vlan.add_addr(ip, 24, AddrFlags::default()).unwrap();
                vlan.set_up().unwrap();
            }
        }
        for address in ["10.10.0.3", "10.20.0.3"] {
            traffic::flows(&a.netns, &b.netns, address.parse().unwrap());
        }
    });
}
