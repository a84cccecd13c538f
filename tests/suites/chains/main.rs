//! Plugins that change routes behind plugins that make interfaces, in every order: each CHECK succeeds with the last result,
//! and each DEL leaves nothing. Then several of these networks for one pod.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod several;

use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{host_local, master, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The plugins that make an interface, each with a gateway and routes.
fn interfaces(lab: &Lab) -> Vec<Value> {
    let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
    ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "10.50.0.0/16", "gw": "10.1.0.1" }]);
    let plugins = [
        json!({ "type": "bridge", "bridge": "br0", "isGateway": true }),
        json!({ "type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true }),
        json!({ "type": "ptp" }),
        json!({ "type": "dummy" }),
        json!({ "type": "ipvlan", "master": master(lab) }),
        json!({ "type": "macvlan", "master": master(lab) }),
    ];
    let mut plugins = plugins
        .map(|plugin| with(plugin, &json!({ "ipam": ipam })))
        .to_vec();
    let has_kind = |plugin: &Value| skip::can_attach(&lab.rtnl(), plugin["type"].as_str().unwrap());
    plugins.retain(has_kind);
    plugins
}

/// Every order of three.
fn orders([a, b, c]: &[Value; 3]) -> Vec<Vec<Value>> {
    let orders = [
        [a, b, c],
        [a, c, b],
        [b, a, c],
        [b, c, a],
        [c, a, b],
        [c, b, a],
    ];
    orders
        .map(|order| order.map(Value::clone).to_vec())
        .to_vec()
}

/// Attaches, checks and detaches behind each interface plugin, in every order.
fn in_every_order(lab: &Lab, three: &[Value; 3]) {
    for interface in interfaces(lab) {
        for (at, behind) in orders(three).into_iter().enumerate() {
            let sandbox = lab.sandbox();
            // The kernel gives it 127.0.0.1 when it comes up for the first time.
            let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
            lo.set_up().unwrap();
            let before = Snapshot::of_sandbox(&sandbox);
            let confs = [vec![interface.clone()], behind].concat();
            let chain = Chain::new(lab, "pod", &sandbox, "eth0", &confs);
            let result = chain.add();
            chain.check(&result);
            // DEL needs no previous result.
            let told = if at % 2 == 0 { &result } else { &Value::Null };
            chain.del(told);
            let after = without_l3mdev(&sandbox);
            assert!(before.lines().eq(&after), "{confs:?}: {after:#?}");
        }
    }
}

/// The container, without the rule that the kernel adds with its first VRF and never takes away.
fn without_l3mdev(sandbox: &Sandbox) -> Vec<String> {
    let rtnl = sandbox.rtnl();
    for family in Family::BOTH {
        for rule in rtnl.rules(family).unwrap() {
            if rule.priority == Some(1000) {
                rtnl.delete_rule(&rule).unwrap();
            }
        }
    }
    let now = Snapshot::of_sandbox(sandbox);
    now.lines().map(str::to_owned).collect()
}

fn tuning(lab: &Lab) -> Value {
    json!({ "type": "tuning", "mtu": 1400, "dataDir": lab.dir().join("tuning") })
}

/// What `route-override` may be asked for without a route to a gateway.
fn overrides() -> [Value; 2] {
    let keys = [
        json!({ "flushroutes": true }),
        json!({ "flushgateway": true, "delroutes": [{ "dst": "10.50.0.0/16" }] }),
    ];
    keys.map(|keys| with(json!({ "type": "route-override" }), &keys))
}

/// A route by the gateway. Where `sbr` leaves no subnet in the main table, its next hop is not found there.
fn adding(keys: &Value) -> Value {
    let base = json!({ "type": "route-override", "addroutes": [{ "dst": "10.60.0.0/16", "gw": "10.1.0.1" }] });
    with(base, keys)
}

#[test]
fn sbr_tuning_and_route_override_in_every_order() {
    in_lab(LINKSPAN, |lab| {
        let sbr = |hints: bool| json!({ "type": "sbr", "addSourceHints": hints });
        let del = adding(&json!({ "delroutes": [{ "dst": "10.50.0.0/16" }] }));
        in_every_order(lab, &[sbr(true), tuning(lab), del]);
        for routes in overrides() {
            in_every_order(lab, &[sbr(false), tuning(lab), routes]);
        }
    });
}

#[test]
fn vrf_tuning_and_route_override_in_every_order() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_attach(&lab.rtnl(), "vrf") {
            return;
        }
        let vrf = json!({ "type": "vrf", "vrfname": "blue" });
        // The number of the other one is too high for the tables in which deleted routes wait.
        let high = with(vrf.clone(), &json!({ "table": 1_234_567 }));
        let add = adding(&json!({ "flushgateway": true }));
        // The subnets themselves.
        let nets = json!([{ "dst": "10.1.0.0/16" }, { "dst": "fd00:1::/64" }]);
        let nets = json!({ "type": "route-override", "delroutes": nets });
        in_every_order(lab, &[high.clone(), tuning(lab), nets]);
        in_every_order(lab, &[vrf, tuning(lab), add]);
        for routes in overrides() {
            in_every_order(lab, &[high.clone(), tuning(lab), routes]);
        }
    });
}
