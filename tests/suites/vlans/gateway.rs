//! `isGateway` in a VLAN: the host has an interface `BRIDGE.VLAN` in it.

use std::os::fd::AsFd;

use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::fault::{Fault, Tracer};
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::table::shared;
use linkspan_harness::traffic;
use linkspan_netlink::link::{Kind, LinkSpec, Peer};
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{LINKSPAN, call, has_vlans, on_host, port, vlans};

#[test]
fn it_is_made_once_and_has_the_addresses() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let keys = json!({ "vlan": 100 });
        let of = |id, sandbox| call(lab, id, sandbox, &keys);
        let first = of("a", &a).add();
        // lo, the bridge, the pod's port, and the pair of the gateway.
        assert_eq!(lab.rtnl().links().unwrap().len(), 5);
        let gateway = on_host(lab, "br0.100");
        let ours = &first["interfaces"][3];
        assert_eq!(ours["name"], "br0.100");
        assert_eq!(ours["sandbox"].as_str(), None);
        assert_eq!(first["ips"][0]["interface"], 2);
        assert_eq!(gateway.peer_index, Some(gateway.index - 1));
        let its_port = lab
            .rtnl()
            .link_by_index(gateway.index - 1)
            .unwrap()
            .unwrap();
        for port in [&port(lab, &first), &its_port] {
            assert_eq!(vlans(port), "100 PVID untagged");
            assert!(port.up && port.controller == Some(on_host(lab, "br0").index));
        }
        assert!(gateway.up);
        for (link, count) in [(&gateway, 1), (&on_host(lab, "br0"), 0)] {
            assert_eq!(link.addrs(Some(Family::V4)).unwrap().len(), count);
        }
        let second = of("b", &b).add();
        assert_eq!(lab.rtnl().links().unwrap().len(), 6);
        assert_eq!(second["interfaces"][3], *ours);
        for (from, to, address) in [
            (&a.netns, lab.host(), "10.1.0.1"),
            (&a.netns, lab.host(), "fd00:1::1"),
            (&a.netns, &b.netns, "10.1.0.3"),
            (lab.host(), &b.netns, "fd00:1::3"),
        ] {
            traffic::flows(from, to, address.parse().unwrap());
        }
        for (id, sandbox, result) in [("a", &a, &first), ("b", &b, &second)] {
            of(id, sandbox).check(result);
        }
        its_port.leave_vlan(100).unwrap();
        let told = of("a", &a).after(&first).verb("CHECK").run().failed(999);
        assert!(told.contains("100 PVID untagged"), "{told}");
        for (id, sandbox) in [("a", &a), ("b", &b)] {
            of(id, sandbox).del();
        }
        // It stays, as the bridge does.
        assert_eq!(lab.rtnl().links().unwrap().len(), 4);
    });
}

#[test]
fn two_vlans_of_a_bridge_have_a_gateway_each_and_are_masqueraded_by_it() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let pods = [(); 2].map(|()| lab.sandbox());
        for (number, sandbox) in (1..).zip(&pods) {
            let subnet = format!("10.{number}.0.0/16");
            let keys = json!({
                "name": format!("net{number}"), "vlan": 100 * number, "ipMasq": true, "promiscMode": true,
                "ipam": host_local(lab, &[&subnet]),
            });
            let call = call(lab, &format!("c{number}"), sandbox, &keys);
            let result = call.add();
            call.check(&result);
            let address = format!("10.{number}.0.1");
            traffic::flows(&sandbox.netns, lab.host(), address.parse().unwrap());
        }
        let zones = shared(lab).join("\n");
        for gateway in ["br0.100", "br0.200"] {
            assert!(zones.contains(gateway), "{zones}");
        }
    });
}

#[test]
fn one_that_is_there_is_used_as_it_is() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let host = lab.host();
        let own = LinkSpec::new("br0.100", Kind::Veth);
        lab.rtnl()
            .create_pair(&own, &Peer::new("its-port", host.as_fd()))
            .unwrap();
        let sandbox = lab.sandbox();
        let call = call(lab, "a", &sandbox, &json!({ "vlan": 100 }));
        let result = call.add();
        assert_eq!(lab.rtnl().links().unwrap().len(), 5);
        assert_eq!(on_host(lab, "its-port").controller, None);
        assert_eq!(result["interfaces"][3]["name"], "br0.100");
        assert!(on_host(lab, "br0.100").up);
        call.check(&result);
    });
}

#[test]
fn many_at_once_make_one() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let pods = [(); 12].map(|()| lab.sandbox());
        let names: Vec<_> = (0..pods.len()).map(|number| format!("c{number}")).collect();
        let calls: Vec<_> = names
            .iter()
            .zip(&pods)
            .map(|(id, sandbox)| call(lab, id, sandbox, &json!({ "vlan": 100 })))
            .collect();
        let running: Vec<_> = calls
            .iter()
            .map(|call| call.clone().verb("ADD").spawn())
            .collect();
        for running in running {
            running.wait().succeeded();
        }
        assert_eq!(lab.rtnl().links().unwrap().len(), 4 + pods.len());
        for sandbox in &pods {
            traffic::flows(&sandbox.netns, lab.host(), "10.1.0.1".parse().unwrap());
        }
        for call in &calls {
            call.del();
        }
        assert_eq!(lab.rtnl().links().unwrap().len(), 4);
    });
}

#[test]
fn a_failed_add_takes_back_all_but_what_is_shared() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) {
            return;
        }
        let (first, sandbox) = (lab.sandbox(), lab.sandbox());
        let keys = json!({ "vlan": 100, "vlanTrunk": [{ "id": 7 }], "macspoofchk": true });
        call(lab, "first", &first, &keys).add();
        let before = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let mut over = keys.clone();
        over["ipam"] = host_local(lab, &["10.1.0.0/16"]);
        over["ipam"]["routes"] = json!([{ "dst": "10.7.0.0/16", "gw": "192.168.99.1" }]);
        let told = call(lab, "b", &sandbox, &over)
            .verb("ADD")
            .run()
            .failed(999);
        assert!(told.contains("10.7.0.0/16"), "{told}");
        let after = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        assert_eq!(after, before);
    });
}

/// A gateway gets its name when it is complete. An unfinished one of a killed ADD goes with the container's DEL, or by
/// GC.
#[test]
fn a_killed_add_leaves_no_half_of_one() {
    in_lab(LINKSPAN, |lab| {
        if !has_vlans(lab) || !skip::can_trace("an ADD that is killed") {
            return;
        }
        let sandbox = lab.sandbox();
        let keys = json!({ "vlan": 100, "ipam": host_local(lab, &["10.1.0.0/16"]) });
        let add = call(lab, "a", &sandbox, &keys).verb("ADD");
        let gc = lab.plugin("bridge").conf(&bridge(
            lab,
            &with(keys.clone(), &json!({ "cni.dev/valid-attachments": [] })),
        ));
        let tracer = Tracer::in_dir(lab.dir());
        let (first, points) = tracer.points(&add);
        first.succeeded();
        let mut halves = 0;
        for (number, point) in points.iter().filter(|point| point.modifies()).enumerate() {
            add.clone().verb("DEL").run().succeeded();
            if let Some(gateway) = lab.rtnl().link_by_name("br0.100").unwrap() {
                gateway.delete().unwrap();
            }
            assert_eq!(lab.rtnl().links().unwrap().len(), 2, "{point:?}");
            tracer.hit(&add, point, Fault::Kill);
            let is_named = lab.rtnl().link_by_name("br0.100").unwrap().is_some();
            halves += usize::from(!is_named && lab.rtnl().links().unwrap().len() == 5);
            match number % 2 {
                0 => add.clone().verb("DEL").run().succeeded(),
                _ => gc.clone().verb("GC").run().succeeded(),
            };
            let links = lab.rtnl().links().unwrap();
            let expected = if is_named { 4 } else { 2 };
            assert_eq!(links.len(), expected, "{point:?}: {links:#?}");
            if is_named {
                let gateway = on_host(lab, "br0.100");
                let port = lab.rtnl().link_by_index(gateway.index - 1).unwrap();
                assert_eq!(vlans(&port.unwrap()), "100 PVID untagged");
            }
        }
        assert!(halves > 1, "{halves}");
    });
}
