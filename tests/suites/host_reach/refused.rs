//! Interfaces that the plugin is no help for, and values that make no sense.

use std::os::fd::AsFd;

use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{bridge, host_local};
use linkspan_netlink::link::{Ipvlan, IpvlanMode, IpvlanReach, Kind, LinkSpec};
use serde_json::{Value, json};

use crate::stage::{Stage, of};

/// ADD behind an interface of this configuration fails, says so and changes nothing.
fn is_refused(stage: &Stage<'_>, interface: &Value, over: &Value, says: &str) {
    let sandbox = stage.lab.sandbox();
    let chain = Chain::new(
        stage.lab,
        "pod",
        &sandbox,
        "eth0",
        std::slice::from_ref(interface),
    );
    let result = chain.add();
    let before = stage.snapshot();
    let call = stage.call("pod", &sandbox, &result, over);
    let told = call.clone().verb("ADD").run().failed(7);
    assert!(told.contains(says), "{told}");
    call.del();
    assert_eq!(stage.snapshot(), before);
    chain.del(&result);
}

/// An interface of another network, on a bridge.
fn bridged(stage: &Stage<'_>) -> Value {
    let ipam = host_local(stage.lab, &["10.7.0.0/24"]);
    bridge(stage.lab, &json!({ "ipam": ipam }))
}

#[test]
fn modes_that_reach_no_sibling() {
    of("macvlan", |stage| {
        for mode in ["private", "vepa", "passthru"] {
            let mut interface = stage.interface(7);
            interface["mode"] = json!(mode);
            is_refused(stage, &interface, &json!({}), "reaches no other link");
        }
    });
    of("ipvlan", |stage| {
        let sandbox = stage.lab.sandbox();
        let private = Kind::Ipvlan(Ipvlan {
            mode: IpvlanMode::L2,
            reach: IpvlanReach::Private,
        });
        let spec = LinkSpec {
            netns: Some(sandbox.netns.as_fd()),
            ..LinkSpec::new("eth0", private)
        };
        stage.master().create_child(&spec).unwrap();
        let before = stage.snapshot();
        let result = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.7/24" }] });
        let call = stage.call("pod", &sandbox, &result, &json!({}));
        let told = call.verb("ADD").run().failed(7);
        assert!(told.contains("reaches no other link"), "{told}");
        assert_eq!(stage.snapshot(), before);
    });
}

#[test]
fn interfaces_of_other_kinds_and_without_addresses() {
    of("macvlan", |stage| {
        let veth = bridged(stage);
        is_refused(stage, &veth, &json!({}), "is of kind \"veth\"");
        let mut bare = stage.interface(7);
        bare.as_object_mut().unwrap().remove("ipam");
        is_refused(stage, &bare, &json!({}), "has no addresses");
        let good = stage.interface(7);
        let over = json!({ "hostAddresses": ["10.0.0.1/24"] });
        is_refused(stage, &good, &over, "10.0.0.1/24");
    });
}

#[test]
fn networks_by_ipvlan() {
    of("ipvlan", |stage| {
        let over = json!({ "networks": ["10.96.0.0/16"] });
        is_refused(stage, &stage.interface(7), &over, "ipvlan");
    });
}

#[test]
fn a_master_in_the_container() {
    of("macvlan", |stage| {
        let sandbox = stage.lab.sandbox();
        let veth = bridged(stage);
        let outer = Chain::new(stage.lab, "pod", &sandbox, "outer", &[veth]);
        let first = outer.add();
        let mut inner = stage.interface(7);
        inner["master"] = json!("outer");
        inner["linkInContainer"] = json!(true);
        let chain = Chain::new(stage.lab, "pod", &sandbox, "eth0", &[inner]);
        let result = chain.add();
        let call = stage.call("pod", &sandbox, &result, &json!({}));
        let told = call.clone().verb("ADD").run().failed(7);
        assert!(told.contains("not on the host"), "{told}");
        chain.del(&result);
        outer.del(&first);
    });
}

#[test]
fn a_plugin_that_is_alone() {
    of("macvlan", |stage| {
        let sandbox = stage.lab.sandbox();
        let call = stage.lab.plugin("host-reach").of("pod", &sandbox);
        let call = call.conf(&stage.conf(&json!({})));
        let told = call.clone().verb("ADD").run().failed(7);
        assert!(told.contains("chained plugin"), "{told}");
    });
}
