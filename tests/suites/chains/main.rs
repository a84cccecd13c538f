//! Plugins that change routes behind plugins that make interfaces, in every order: each CHECK succeeds with the last result,
//! and each DEL leaves nothing. Then several of these networks for one pod.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod several;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use linkspan_cli::traffic::at;
use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{addresses, host_local, master, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::thorough::sample;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

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
    let fixed = json!({
        "type": "static",
        "addresses": [
            { "address": "10.1.0.7/16", "gateway": "10.1.0.1" },
            { "address": "fd00:1::7/64", "gateway": "fd00:1::1" },
        ],
        "routes": ipam["routes"],
    });
    plugins.push(json!({ "type": "macvlan", "master": master(lab), "ipam": fixed }));
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

/// Attaches, checks and detaches after each interface plugin, in every order. An everyday run takes two orders for each.
fn in_every_order(lab: &Lab, three: &[Value; 3]) {
    for (nth, interface) in interfaces(lab).into_iter().enumerate() {
        for (at, behind) in sample(orders(three).into_iter().enumerate(), nth, 3) {
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

/// The container, without the rule that the kernel adds with its first VRF and never removes.
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

/// Configurations of `route-override` that need no route to a gateway.
fn overrides() -> [Value; 2] {
    let keys = [
        json!({ "flushroutes": true }),
        json!({ "flushgateway": true, "delroutes": [{ "dst": "10.50.0.0/16" }] }),
    ];
    keys.map(|keys| with(json!({ "type": "route-override" }), &keys))
}

/// A route through the gateway. If `sbr` leaves no subnet in the main table, its next hop is unreachable there.
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
        // The number of the other table is too high for parking deleted routes.
        let high = with(vrf.clone(), &json!({ "table": 1_234_567 }));
        let add = adding(&json!({ "flushgateway": true }));
        // The subnets themselves.
        let nets = json!([{ "dst": "10.1.0.0/16" }, { "dst": "fd00:1::/64" }]);
        let nets = json!({ "type": "route-override", "delroutes": nets });
        in_every_order(lab, &[high.clone(), tuning(lab), nets]);
        let sbr = json!({ "type": "sbr", "addSourceHints": true });
        in_every_order(lab, &[vrf.clone(), tuning(lab), sbr]);
        in_every_order(lab, &[vrf, tuning(lab), add]);
        for routes in overrides() {
            in_every_order(lab, &[high.clone(), tuning(lab), routes]);
        }
    });
}

/// Sockets of the VRF that have chosen no address find their routes in the table of the VRF, and those that have one in that
/// of `sbr`.
#[test]
fn sbr_in_a_vrf_leads_packets_with_a_source_and_leaves_the_others_to_the_vrf() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_attach(&lab.rtnl(), "vrf") {
            return;
        }
        let [_, bridge, ..] = &interfaces(lab)[..] else {
            return;
        };
        let behind = [
            json!({ "type": "vrf", "vrfname": "blue", "table": 77 }),
            json!({ "type": "sbr", "addSourceHints": true }),
        ];
        let sandbox = lab.sandbox();
        let confs = [std::slice::from_ref(bridge), &behind[..]].concat();
        let chain = Chain::new(lab, "pod", &sandbox, "eth0", &confs);
        let result = chain.add();
        chain.check(&result);
        for (own, gateway) in addresses(&result)
            .into_iter()
            .zip(["10.1.0.1", "fd00:1::1"])
        {
            let family = Family::of(own);
            let link = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            let routes = sandbox.rtnl().stored_routes(family).unwrap();
            let lengths = |table: u32| {
                let of_table = routes.iter().filter(|route| {
                    route.table() == table && route.leaves_by(link.index) && route.is_unicast()
                });
                let mut lengths: Vec<u8> = of_table.map(|route| route.dst().1).collect();
                lengths.sort_unstable();
                lengths.dedup();
                lengths
            };
            let rules = sandbox.rtnl().rules(family).unwrap();
            let of_own = rules
                .iter()
                .find(|rule| rule.src.is_some_and(|(src, _)| src == own));
            let steered = lengths(of_own.unwrap().table.unwrap());
            let subnet = if own.is_ipv4() { 16 } else { 64 };
            for length in [0, subnet] {
                assert!(
                    steered.contains(&length) && lengths(77).contains(&length),
                    "{own}"
                );
            }
            let gateway: IpAddr = gateway.parse().unwrap();
            for source in [None, Some(own)] {
                assert_eq!(heard(lab, &sandbox, gateway, source), own);
            }
        }
        chain.del(&result);
    });
}

/// The source of a datagram that a socket of the VRF sends to the host, which has to hear the answer.
fn heard(lab: &Lab, sandbox: &Sandbox, to: IpAddr, source: Option<IpAddr>) -> IpAddr {
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
    let server = at(lab.host(), || UdpSocket::bind((to, 0))).unwrap();
    server.set_read_timeout(PATIENCE).unwrap();
    let client = at(&sandbox.netns, || {
        let socket = Socket::new(
            Domain::for_address(SocketAddr::from((to, 0))),
            Type::DGRAM,
            None,
        )?;
        socket.bind_device(Some(b"blue"))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        socket.connect(&server.local_addr()?.into())?;
        Ok(UdpSocket::from(socket))
    });
    let client = client.unwrap();
    client.set_read_timeout(PATIENCE).unwrap();
    client.send(b"?").unwrap();
    let (_, from) = server.recv_from(&mut [0]).unwrap();
    server.send_to(b"!", from).unwrap();
    client.recv(&mut [0]).unwrap();
    from.ip()
}
