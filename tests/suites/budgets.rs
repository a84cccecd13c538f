//! The permitted cost of each verb of each plugin, counted with strace on a host that has attached a pod before. The
//! numbers are current values; lower them with each improvement. More than 400 lines: one case for each plugin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use linkspan_filter::table::BRIDGE_TABLE;
use linkspan_harness::conf::{bridge, fixed, host_local, master, with};
use linkspan_harness::cost::{Cost, cost};
use linkspan_harness::lab::{Lab, PLUGINS, Sandbox, in_lab};
use linkspan_harness::nic;
use linkspan_harness::skip;
use linkspan_harness::table::netfilter;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_protocol::addr::MacAddr;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The verbs, in the order of the columns of each table below.
const VERBS: [&str; 5] = ["ADD", "CHECK", "STATUS", "DEL", "GC"];

/// The permitted cost of each verb of a plugin.
type Row = [Cost; VERBS.len()];

const fn most(requests: usize, dumps: usize, files: usize, calls: usize) -> Cost {
    Cost {
        processes: 1,
        requests,
        dumps,
        files,
        calls,
        waits: 0,
    }
}

/// DEL alone may wait for a grace period, and for one only.
const fn waits(cost: Cost) -> Cost {
    Cost { waits: 1, ..cost }
}

/// The same with as many looks by DEL for the kernel's tick in which elements expire as a slow machine may need.
const fn ticks(cost: Cost) -> Cost {
    Cost {
        requests: cost.requests + TICKS,
        calls: cost.calls + TICKS * CALLS_OF_A_TICK,
        ..cost
    }
}

const TICKS: usize = 8;
const CALLS_OF_A_TICK: usize = 6;

/// The plugins of a list, in order, for one pod.
struct Chain<'a> {
    lab: &'a Lab,
    plugins: Vec<Value>,
    sandbox: Sandbox,
    id: &'static str,
    result: Option<Value>,
}

impl<'a> Chain<'a> {
    fn new(lab: &'a Lab, id: &'static str, plugins: Vec<Value>) -> Self {
        Self {
            lab,
            plugins,
            sandbox: lab.sandbox(),
            id,
            result: None,
        }
    }

    /// The cost of each plugin, in the order of the list. For GC the first pod is the valid one.
    fn run(&mut self, verb: &str) -> Vec<Cost> {
        let mut order: Vec<usize> = (0..self.plugins.len()).collect();
        if verb == "DEL" {
            order.reverse();
        }
        let mut did = vec![Cost::default(); order.len()];
        for at in order {
            let plugin = &self.plugins[at];
            let more = match verb {
                "GC" => {
                    let valid = json!([{ "containerID": "first", "ifname": "eth0" }]);
                    json!({ "cni.dev/valid-attachments": valid })
                }
                _ => json!({ "prevResult": self.result }),
            };
            let call = self
                .lab
                .plugin(plugin["type"].as_str().unwrap())
                .without("LINKSPAN_DELEGATE")
                .verb(verb)
                .of(self.id, &self.sandbox)
                .conf(&with(plugin.clone(), &more));
            let (output, cost) = cost(self.lab, call);
            did[at] = cost;
            if verb == "ADD" {
                self.result = Some(output.json());
            }
        }
        did
    }
}

/// The plugins of a list stay within their rows.
fn keeps_to(case: &str, plugins: fn(&Lab, u16) -> Vec<Value>, rows: &[Row]) {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace(case) {
            return;
        }
        let first = plugins(lab, 8080);
        let kinds = first.iter().filter_map(|plugin| plugin["type"].as_str());
        if !kinds
            .clone()
            .all(|kind| skip::can_attach(&lab.rtnl(), kind))
        {
            return;
        }
        Chain::new(lab, "first", first.clone()).run("ADD");
        let mut pod = Chain::new(lab, "second", plugins(lab, 8081));
        let mut exceeded = Vec::new();
        for (at, verb) in VERBS.into_iter().enumerate() {
            for ((did, row), plugin) in pod.run(verb).into_iter().zip(rows).zip(&first) {
                if !did.is_within(row[at]) {
                    exceeded.push(format!("{} {verb}: {did:?}", plugin["type"]));
                }
            }
        }
        assert!(exceeded.is_empty(), "{case}: {exceeded:#?}");
    });
}

fn conf(kind: &str, over: &Value) -> Value {
    let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": kind });
    with(base, over)
}

#[test]
fn every_plugin_has_a_row() {
    /// Another name of ptp, and the plugin whose row is beside its server and its daemon (suites/dhcp/plugin.rs).
    const ELSEWHERE: [&str; 2] = ["veth", "dhcp"];
    let source = include_str!("budgets.rs");
    let has_row = |name: &&str| {
        let named = source.matches(&format!("\"{name}\"")).count();
        named > 0 || ELSEWHERE.contains(name)
    };
    let lacking: Vec<_> = PLUGINS.iter().filter(|name| !has_row(name)).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[test]
fn loopback_keeps_to_its_budget() {
    keeps_to(
        "loopback",
        |_, _| vec![conf("loopback", &json!({}))],
        &[[
            most(3, 1, 3, 30),
            most(1, 0, 3, 25),
            most(0, 0, 2, 20),
            waits(most(2, 0, 3, 30)),
            most(0, 0, 1, 10),
        ]],
    );
}

#[test]
fn dummy_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        vec![conf("dummy", &json!({ "ipam": ipam }))]
    };
    keeps_to(
        "dummy",
        plugins,
        &[[
            most(6, 0, 16, 125),
            most(3, 2, 8, 60),
            most(1, 0, 5, 50),
            waits(most(2, 0, 8, 65)),
            most(0, 0, 9, 55),
        ]],
    );
}

/// A link on a master of the host.
fn child(lab: &Lab, kind: &str, over: &Value) -> Vec<Value> {
    let ipam = host_local(lab, &["10.1.0.0/16"]);
    let base = json!({ "master": master(lab), "ipam": ipam });
    vec![with(conf(kind, &base), over)]
}

const CHILD: Row = [
    most(7, 0, 17, 125),
    most(4, 2, 8, 60),
    most(2, 0, 5, 50),
    waits(most(2, 0, 8, 65)),
    most(0, 0, 9, 55),
];

#[test]
fn macvlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| child(lab, "macvlan", &json!({}));
    keeps_to("macvlan", plugins, &[CHILD]);
}

#[test]
fn ipvlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| child(lab, "ipvlan", &json!({}));
    keeps_to("ipvlan", plugins, &[CHILD]);
}

#[test]
fn vlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, port| child(lab, "vlan", &json!({ "vlanId": port - 8000 }));
    keeps_to("vlan", plugins, &[CHILD]);
}

#[test]
fn host_reach_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let mut plugins = child(lab, "macvlan", &json!({}));
        let dir = lab.dir().join("host-reach");
        plugins.push(conf("host-reach", &json!({ "dataDir": dir })));
        plugins
    };
    keeps_to(
        "host-reach",
        plugins,
        &[
            CHILD,
            [
                most(14, 2, 8, 90),
                most(9, 3, 3, 45),
                most(0, 0, 2, 20),
                waits(most(10, 4, 8, 90)),
                most(5, 5, 3, 40),
            ],
        ],
    );
}

#[test]
fn host_device_keeps_to_its_budget() {
    let plugins = |lab: &Lab, port: u16| {
        let name = format!("nic{port}");
        nic::make(lab, &name, &[]);
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        let dir = lab.dir().join("host-device");
        let over = json!({ "device": name, "dataDir": dir, "ipam": ipam });
        vec![conf("host-device", &over)]
    };
    keeps_to(
        "host-device",
        plugins,
        &[[
            most(9, 1, 22, 165),
            most(3, 2, 8, 55),
            most(0, 0, 5, 40),
            waits(most(11, 0, 16, 135)),
            most(0, 0, 10, 60),
        ]],
    );
}

#[test]
fn tap_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        vec![conf("tap", &json!({ "owner": 0, "ipam": ipam }))]
    };
    keeps_to(
        "tap",
        plugins,
        &[[
            most(6, 0, 18, 125),
            most(3, 2, 8, 55),
            most(0, 0, 6, 45),
            waits(most(2, 0, 8, 65)),
            most(0, 0, 9, 55),
        ]],
    );
}

#[test]
fn static_keeps_to_its_budget() {
    keeps_to(
        "static",
        |_, _| vec![conf("static", &json!({ "ipam": fixed(&["10.1.0.7/16"]) }))],
        &[[
            most(0, 0, 1, 10),
            most(0, 0, 1, 10),
            most(0, 0, 1, 10),
            waits(most(0, 0, 1, 10)),
            most(0, 0, 1, 10),
        ]],
    );
}

/// A kernel without netkit is asked for it, and does the rest as with a veth pair.
#[test]
fn a_netkit_pair_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        vec![conf("ptp", &json!({ "device": "netkit", "ipam": ipam }))]
    };
    keeps_to(
        "ptp",
        plugins,
        &[[
            most(15, 0, 24, 155),
            most(7, 3, 10, 80),
            most(0, 0, 5, 40),
            waits(most(16, 5, 10, 105)),
            most(10, 7, 11, 95),
        ]],
    );
}

#[test]
fn host_local_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        vec![conf("host-local", &json!({ "ipam": ipam }))]
    };
    keeps_to(
        "host-local",
        plugins,
        &[[
            most(0, 0, 10, 65),
            most(0, 0, 6, 30),
            most(0, 0, 4, 30),
            waits(most(0, 0, 6, 40)),
            most(0, 0, 9, 50),
        ]],
    );
}

#[test]
fn a_pair_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let ipam = host_local(lab, &["10.1.0.0/16"]);
        vec![conf("ptp", &json!({ "ipam": ipam }))]
    };
    keeps_to(
        "ptp",
        plugins,
        &[[
            most(14, 0, 24, 155),
            most(6, 3, 10, 80),
            most(0, 0, 5, 40),
            waits(most(15, 5, 10, 105)),
            most(10, 7, 11, 95),
        ]],
    );
}

/// With addresses of both families, and without ports of the host.
const BRIDGE: Row = [
    most(17, 2, 28, 220),
    most(11, 7, 11, 100),
    most(2, 1, 5, 50),
    waits(most(12, 4, 11, 120)),
    most(11, 7, 12, 110),
];

#[test]
fn a_dual_stack_bridge_keeps_to_its_budget() {
    keeps_to("bridge", |lab, _| vec![bridge(lab, &json!({}))], &[BRIDGE]);
}

/// The state of 500 guarded ports in nf_tables, of attachments of another network.
fn guarded_crowd(lab: &Lab) {
    let sets = [
        Set::of("spoof_ports", &[Datum::IfName]),
        Set::of("spoof_sources", &[Datum::IfName, Datum::Ether]),
    ];
    let mut batch = Batch::default();
    for number in 0..500u16 {
        let port = Fields::default().ifname(&format!("veth{number:04x}cafe"));
        let [high, low] = number.to_be_bytes();
        let source = port.clone().ether(MacAddr([2, 0, 0, 0, high, low]));
        for (set, key) in sets.iter().zip([port, source]) {
            let element = Element {
                comment: format!("crowd/c{number}/eth0"),
                ..Element::of(key)
            };
            batch.add(BRIDGE_TABLE, set, &[element], true);
        }
    }
    netfilter(lab).commit(batch).unwrap();
}

#[test]
fn a_guarded_port_keeps_to_its_budget_among_500() {
    let plugins = |lab: &Lab, port: u16| {
        let conf = bridge(lab, &json!({ "macspoofchk": true }));
        // The first pod is attached by then, and has created the sets.
        if port == 8081 {
            guarded_crowd(lab);
        }
        vec![conf]
    };
    keeps_to(
        "macspoofchk",
        plugins,
        &[[
            most(20, 2, 29, 235),
            most(14, 7, 11, 120),
            most(3, 1, 5, 65),
            ticks(waits(most(24, 9, 11, 155))),
            most(16, 11, 12, 125),
        ]],
    );
}

#[test]
fn tuning_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let tuned = json!({
            "dataDir": lab.dir().join("tuning"),
            "sysctl": { "net.core.somaxconn": "500" },
            "mac": "02:00:00:00:00:07",
            "promisc": true,
            "mtu": 1400,
        });
        vec![bridge(lab, &json!({})), conf("tuning", &tuned)]
    };
    keeps_to(
        "tuning",
        plugins,
        &[
            BRIDGE,
            [
                most(5, 0, 18, 130),
                most(2, 0, 8, 60),
                most(0, 0, 2, 20),
                waits(most(4, 0, 7, 65)),
                most(0, 0, 2, 15),
            ],
        ],
    );
}

#[test]
fn sbr_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| vec![bridge(lab, &json!({})), conf("sbr", &json!({}))];
    keeps_to(
        "sbr",
        plugins,
        &[
            BRIDGE,
            [
                most(18, 6, 3, 65),
                most(5, 4, 3, 35),
                most(1, 1, 2, 25),
                waits(most(18, 5, 3, 65)),
                most(0, 0, 1, 10),
            ],
        ],
    );
}

#[test]
fn route_override_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let over = json!({
            "flushgateway": true,
            "addroutes": [{ "dst": "10.9.0.0/16", "gw": "10.1.0.1" }],
        });
        vec![bridge(lab, &json!({})), conf("route-override", &over)]
    };
    keeps_to(
        "route-override",
        plugins,
        &[
            BRIDGE,
            [
                most(8, 2, 3, 45),
                most(3, 2, 3, 30),
                most(0, 0, 2, 20),
                waits(most(8, 2, 3, 40)),
                most(0, 0, 1, 10),
            ],
        ],
    );
}

#[test]
fn vrf_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let over = json!({ "vrfname": "blue" });
        vec![bridge(lab, &json!({})), conf("vrf", &over)]
    };
    keeps_to(
        "vrf",
        plugins,
        &[
            BRIDGE,
            [
                most(26, 14, 3, 90),
                most(2, 0, 3, 25),
                most(1, 0, 2, 25),
                waits(most(22, 11, 3, 75)),
                most(0, 0, 1, 10),
            ],
        ],
    );
}

#[test]
fn bandwidth_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let rates = json!({
            "ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000, "egressBurst": 8_000_000,
        });
        vec![
            bridge(lab, &json!({})),
            conf(
                "bandwidth",
                &json!({ "runtimeConfig": { "bandwidth": rates } }),
            ),
        ]
    };
    keeps_to(
        "bandwidth",
        plugins,
        &[
            BRIDGE,
            [
                most(20, 1, 4, 70),
                most(9, 1, 4, 50),
                most(0, 0, 2, 20),
                waits(most(12, 1, 4, 55)),
                most(1, 1, 1, 15),
            ],
        ],
    );
}

#[test]
fn tuning_without_keys_costs_nothing() {
    let plugins = |lab: &Lab, _| vec![bridge(lab, &json!({})), conf("tuning", &json!({}))];
    keeps_to(
        "tuning without keys",
        plugins,
        &[
            BRIDGE,
            [
                most(0, 0, 1, 10),
                most(0, 0, 1, 10),
                most(0, 0, 1, 10),
                waits(most(0, 0, 2, 15)),
                most(0, 0, 1, 10),
            ],
        ],
    );
}

/// Bridge, addresses, masquerade and a published port.
fn pod(lab: &Lab, port: u16) -> Vec<Value> {
    let ipam = host_local(lab, &["10.1.0.0/16"]);
    let mapping = json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp" });
    let ports = json!({ "runtimeConfig": { "portMappings": [mapping] } });
    vec![
        bridge(lab, &json!({ "ipMasq": true, "ipam": ipam })),
        conf("portmap", &ports),
    ]
}

#[test]
fn a_pod_among_many_asks_for_no_more() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("the 3rd and the 30th pod") {
            return;
        }
        let costs = |number: usize, id| {
            let mut pod = Chain::new(lab, id, pod(lab, 8000 + u16::try_from(number).unwrap()));
            ["ADD", "CHECK", "DEL"].map(|verb| pod.run(verb))
        };
        let mut crowd = Vec::new();
        let mut grow_to = |pods: usize| {
            while crowd.len() < pods {
                let sandbox = lab.sandbox();
                let ipam = host_local(lab, &["10.1.0.0/16"]);
                let conf = bridge(lab, &json!({ "ipMasq": true, "ipam": ipam }));
                let call = lab.plugin("bridge").conf(&conf);
                call.of(&format!("other{}", crowd.len()), &sandbox).add();
                crowd.push(sandbox);
            }
        };
        grow_to(2);
        costs(0, "first");
        let third = costs(1, "third");
        grow_to(29);
        let thirtieth = costs(2, "thirtieth");
        for (few, many) in third.iter().flatten().zip(thirtieth.iter().flatten()) {
            let but_for_ticks = |cost: &Cost| (cost.processes, cost.dumps, cost.files);
            assert_eq!(but_for_ticks(many), but_for_ticks(few));
            assert!(many.requests <= few.requests + TICKS, "{few:?}, {many:?}");
        }
    });
}

#[test]
fn the_pod_chain_keeps_to_its_budget() {
    keeps_to(
        "pod chain",
        pod,
        &[
            [
                most(15, 1, 19, 170),
                most(15, 7, 11, 115),
                most(4, 1, 5, 65),
                waits(most(13, 5, 10, 120)),
                most(12, 8, 11, 110),
            ],
            [
                most(6, 0, 4, 70),
                most(8, 2, 3, 75),
                most(2, 0, 1, 40),
                ticks(waits(most(7, 0, 5, 100))),
                most(18, 16, 3, 85),
            ],
        ],
    );
}

#[test]
fn firewall_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let over = json!({ "backend": "nftables", "ingressPolicy": "isolated" });
        vec![bridge(lab, &json!({})), conf("firewall", &over)]
    };
    keeps_to(
        "firewall",
        plugins,
        &[
            BRIDGE,
            [
                most(7, 0, 3, 70),
                most(8, 0, 3, 70),
                most(2, 0, 3, 45),
                ticks(waits(most(17, 9, 5, 105))),
                most(20, 16, 3, 85),
            ],
        ],
    );
}

/// One transaction, and no program, if the table exists.
#[test]
fn firewall_in_iptables_keeps_to_its_budget() {
    if skip::without("iptables-nft-restore").is_none() {
        return;
    }
    let plugins = |lab: &Lab, _| {
        let over = json!({ "backend": "iptables" });
        vec![bridge(lab, &json!({})), conf("firewall", &over)]
    };
    keeps_to(
        "firewall in iptables",
        plugins,
        &[
            BRIDGE,
            [
                most(11, 4, 3, 85),
                most(13, 4, 3, 75),
                most(2, 0, 2, 30),
                waits(most(13, 5, 5, 75)),
                most(20, 16, 3, 80),
            ],
        ],
    );
}
