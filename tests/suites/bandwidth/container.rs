//! Shaping in the container, for interfaces without an end on the host.

use linkspan_harness::conf::with;
use linkspan_harness::lab::in_lab;
use linkspan_harness::tool::tool;
use linkspan_harness::traffic;
use serde_json::json;

use crate::{ADDRESS, GATEWAY, LINKSPAN, Shaped, both, bucket, call, ifbs, is_able, pair, queues};

#[test]
fn the_same_rates_are_made_in_the_container() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox, previous, ..
        }) = Shaped::new(lab)
        else {
            return;
        };
        let over = with(both(), &json!({ "shapeIn": "container" }));
        let limits = call(lab, "dummy", &sandbox, &previous, &over);
        let result = limits.add();
        limits.check(&result);
        let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        // Packets that leave by it come from the container.
        assert_eq!(bucket(&eth0).unwrap().rate, 2000);
        let inside = ifbs(&sandbox.rtnl());
        assert_eq!(bucket(&inside[0]).unwrap().rate, 1000);
        assert_eq!(result["interfaces"][3]["sandbox"], sandbox.path());
        assert!(ifbs(&lab.rtnl()).is_empty());
        traffic::flows(&sandbox.netns, lab.host(), GATEWAY.parse().unwrap());
        traffic::flows(lab.host(), &sandbox.netns, ADDRESS.parse().unwrap());
        limits.del();
        assert_eq!(queues(&eth0), [""; 0]);
        assert!(ifbs(&sandbox.rtnl()).is_empty());
        limits.netns("").del();
    });
}

#[test]
fn a_macvlan_is_refused_on_the_host_and_shaped_in_the_container() {
    in_lab(LINKSPAN, |lab| {
        if !is_able(lab) {
            return;
        }
        let sandbox = lab.sandbox();
        pair(lab, "dummy", &sandbox).add();
        let made = sandbox.netns.scope(|| {
            let add = [
                "link", "add", "m1", "link", "eth0", "type", "macvlan", "mode", "bridge",
            ];
            tool("ip", &add)
        });
        if made.unwrap().is_none() {
            return;
        }
        let previous = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "m1", "sandbox": sandbox.path() }] });
        let limits = call(lab, "dummy", &sandbox, &previous, &both()).env("CNI_IFNAME", "m1");
        let told = limits.clone().verb("ADD").run().failed(999);
        let says =
            "container interface m1 has no veth peer: interface \"m1\" was not a veth interface";
        assert!(told.starts_with(says), "{told}");
        let over = with(both(), &json!({ "shapeIn": "container" }));
        let limits = call(lab, "dummy", &sandbox, &previous, &over).env("CNI_IFNAME", "m1");
        let result = limits.add();
        limits.check(&result);
        limits.del();
        assert!(ifbs(&sandbox.rtnl()).is_empty());
    });
}
