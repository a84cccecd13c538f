//! The permitted cost of each verb: processes, requests to the kernel, dumps, opened files. Counted with strace on a
//! host that has attached a pod before. The numbers are current values; lower them with each improvement. More than
//! 400 lines: one case for each plugin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;

use linkspan_filter::table::BRIDGE_TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, fixed, host_local, master, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::nic;
use linkspan_harness::skip;
use linkspan_harness::table::netfilter;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_protocol::addr::MacAddr;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The cost of a call, counted or permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Budget {
    processes: usize,
    /// Messages to netlink sockets; a batch is one.
    requests: usize,
    /// Requests for all objects of a kind.
    dumps: usize,
    /// In any directory: leases, sysctls, namespaces.
    files: usize,
    /// Grace periods of the kernel, for which the process waits: deleted links, and transactions of nf_tables that delete.
    waits: usize,
}

const fn budget(processes: usize, requests: usize, dumps: usize, files: usize) -> Budget {
    Budget {
        processes,
        requests,
        dumps,
        files,
        waits: 0,
    }
}

/// Maximum number of looks by DEL for the kernel's tick in which elements expire.
const TICKS: usize = 8;

/// Runs the call below strace; it must succeed. Returns its result, if any, and its cost.
fn traced(lab: &Lab, call: Call) -> (Option<Value>, Budget) {
    let log = lab.dir().join("strace");
    let log = log.to_str().unwrap();
    let strace = ["strace", "-f", "-qq", "-s", "4096", "-o", log];
    let run = call.under(&strace).run();
    let printed = run.succeeded();
    let result = (!printed.is_empty()).then(|| run.json());
    let log = fs::read_to_string(log).unwrap();
    let count = |what: &dyn Fn(&str) -> bool| log.lines().filter(|line| what(line)).count();
    let request = |line: &str| line.contains("nlmsg_flags=NLM_F_REQUEST") && line.contains(" send");
    // If strace does not know the protocol, it prints only the number of the flag.
    let dump = |line: &str| line.contains("NLM_F_DUMP") || line.contains("|0x300,");
    assert_eq!(count(&|line| line.contains("nanosleep(")), 0, "{log}");
    // In the host's procfs, a file takes longer to find the more namespaces were visited.
    let own = |line: &str| line.contains(" fsmount(") && !line.contains(" = -1 ");
    let hosts = |line: &str| line.contains(" openat2(AT_FDCWD, \"/proc/sys/net/");
    assert!(count(&own) == 0 || count(&hosts) == 0, "{log}");
    let deletes = |line: &str| {
        let kinds = ["RULE", "CHAIN", "SETELEM", "SET,", "TABLE"];
        let mut kinds = kinds.iter().map(|kind| format!("NFT_MSG_DEL{kind}"));
        kinds.any(|kind| line.contains(&kind))
    };
    // RTM_DELLINK, which strace shows by its number or by its name.
    let link = |line: &str| line.contains("nlmsg_type=0x11 ") || line.contains("RTM_DELLINK");
    let did = Budget {
        processes: count(&|line| line.contains(" execve(")),
        requests: count(&request),
        dumps: count(&|line| request(line) && dump(line)),
        files: count(&|line| {
            (line.contains(" openat(") || line.contains(" openat2(")) && !line.contains("ENOENT")
        }),
        waits: count(&|line| request(line) && (deletes(line) || link(line))),
    };
    (result, did)
}

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

    /// The cost of each plugin, in the order of the list.
    fn run(&mut self, verb: &str) -> Vec<Budget> {
        let mut order: Vec<usize> = (0..self.plugins.len()).collect();
        if verb == "DEL" {
            order.reverse();
        }
        let mut did = vec![budget(0, 0, 0, 0); order.len()];
        for at in order {
            let plugin = &self.plugins[at];
            let previous = json!({ "prevResult": self.result });
            let call = self
                .lab
                .plugin(plugin["type"].as_str().unwrap())
                .without("LINKSPAN_DELEGATE")
                .verb(verb)
                .of(self.id, &self.sandbox)
                .conf(&with(plugin.clone(), &previous));
            let (result, cost) = traced(self.lab, call);
            did[at] = cost;
            self.result = result.or(self.result.take());
        }
        did
    }
}

/// The plugins stay within `budgets`, which are for ADD, CHECK, STATUS and DEL, each with one for each plugin.
fn keeps_to(case: &str, plugins: fn(&Lab, u16) -> Vec<Value>, budgets: [&[Budget]; 4]) {
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
        let did = ["ADD", "CHECK", "STATUS", "DEL"].map(|verb| pod.run(verb));
        let over = |(did, allowed): (&Budget, &Budget)| {
            did.processes > allowed.processes
                || did.requests > allowed.requests
                || did.dumps > allowed.dumps
                || did.files > allowed.files
        };
        let each = did.iter().flatten().zip(budgets.concat());
        let exceeded = each.filter(|(did, allowed)| over((did, allowed))).count();
        assert_eq!(exceeded, 0, "{case} does {did:#?}");
        // DEL waits once in a process, and nothing else waits.
        let [add, check, status, del] = &did;
        let waits = |verb: &[Budget]| verb.iter().map(|did| did.waits).max();
        let most = [add, check, status, del].map(|verb| waits(verb).unwrap_or_default());
        assert!(
            most[..3] == [0, 0, 0] && most[3] <= 1,
            "{case} does {did:#?}"
        );
    });
}

fn conf(kind: &str, over: &Value) -> Value {
    let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": kind });
    with(base, over)
}

#[test]
fn loopback_keeps_to_its_budget() {
    keeps_to(
        "loopback",
        |_, _| vec![conf("loopback", &json!({}))],
        [
            &[budget(1, 3, 1, 3)],
            &[budget(1, 1, 0, 3)],
            &[budget(1, 0, 0, 2)],
            &[budget(1, 2, 0, 3)],
        ],
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
        [
            &[budget(1, 6, 0, 15)],
            &[budget(1, 3, 2, 8)],
            &[budget(1, 1, 0, 5)],
            &[budget(1, 2, 0, 8)],
        ],
    );
}

/// A link on a master of the host.
fn child(lab: &Lab, kind: &str, over: &Value) -> Vec<Value> {
    let ipam = host_local(lab, &["10.1.0.0/16"]);
    let base = json!({ "master": master(lab), "ipam": ipam });
    vec![with(conf(kind, &base), over)]
}

const OF_CHILD: [&[Budget]; 4] = [
    &[budget(1, 7, 0, 17)],
    &[budget(1, 4, 2, 8)],
    &[budget(1, 2, 0, 5)],
    &[budget(1, 2, 0, 8)],
];

#[test]
fn macvlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| child(lab, "macvlan", &json!({}));
    keeps_to("macvlan", plugins, OF_CHILD);
}

#[test]
fn ipvlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| child(lab, "ipvlan", &json!({}));
    keeps_to("ipvlan", plugins, OF_CHILD);
}

#[test]
fn vlan_keeps_to_its_budget() {
    let plugins = |lab: &Lab, port| child(lab, "vlan", &json!({ "vlanId": port - 8000 }));
    keeps_to("vlan", plugins, OF_CHILD);
}

#[test]
fn host_reach_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| {
        let mut plugins = child(lab, "macvlan", &json!({}));
        let dir = lab.dir().join("host-reach");
        plugins.push(conf("host-reach", &json!({ "dataDir": dir })));
        plugins
    };
    let [add, check, status, del] = OF_CHILD.map(|budgets| budgets[0]);
    keeps_to(
        "host-reach",
        plugins,
        [
            &[add, budget(1, 14, 2, 8)],
            &[check, budget(1, 9, 3, 3)],
            &[status, budget(1, 0, 0, 2)],
            &[del, budget(1, 10, 4, 8)],
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
        [
            &[budget(1, 9, 1, 22)],
            &[budget(1, 3, 2, 8)],
            &[budget(1, 0, 0, 5)],
            &[budget(1, 11, 0, 16)],
        ],
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
        [
            &[budget(1, 6, 0, 18)],
            &[budget(1, 3, 2, 8)],
            &[budget(1, 0, 0, 6)],
            &[budget(1, 2, 0, 8)],
        ],
    );
}

#[test]
fn static_keeps_to_its_budget() {
    keeps_to(
        "static",
        |_, _| vec![conf("static", &json!({ "ipam": fixed(&["10.1.0.7/16"]) }))],
        [
            &[budget(1, 0, 0, 1)],
            &[budget(1, 0, 0, 1)],
            &[budget(1, 0, 0, 1)],
            &[budget(1, 0, 0, 1)],
        ],
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
        [
            &[budget(1, 15, 0, 24)],
            &[budget(1, 7, 3, 10)],
            &[budget(1, 0, 0, 5)],
            &[budget(1, 16, 5, 10)],
        ],
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
        [
            &[budget(1, 0, 0, 9)],
            &[budget(1, 0, 0, 6)],
            &[budget(1, 0, 0, 4)],
            &[budget(1, 0, 0, 6)],
        ],
    );
}

/// A look at everything, once for a network: what it asks for does not grow with the attachments that stay.
#[test]
fn gc_keeps_to_its_budgets() {
    type Case = (fn(&Lab) -> Value, Budget);
    let cases: [Case; 7] = [
        (|_| conf("loopback", &json!({})), budget(1, 0, 0, 1)),
        (
            |lab| {
                conf(
                    "host-local",
                    &json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) }),
                )
            },
            budget(1, 0, 0, 9),
        ),
        (
            |lab| bridge(lab, &json!({ "ipMasq": true })),
            budget(1, 12, 8, 11),
        ),
        (
            |lab| conf("ptp", &json!({ "ipam": host_local(lab, &["10.1.0.0/16"]) })),
            budget(1, 11, 8, 11),
        ),
        (|_| conf("portmap", &json!({})), budget(1, 18, 16, 3)),
        (|_| conf("firewall", &json!({})), budget(1, 15, 11, 3)),
        (
            |lab| conf("tuning", &json!({ "dataDir": lab.dir().join("tuning") })),
            budget(1, 0, 0, 1),
        ),
    ];
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("GC") {
            return;
        }
        let mut chain = pod(lab, 8080);
        chain.push(conf("firewall", &json!({})));
        let mut first = Chain::new(lab, "first", chain);
        first.run("ADD");
        let valid = json!([{ "containerID": "first", "ifname": "eth0" }]);
        let valid = json!({ "cni.dev/valid-attachments": valid });
        let mut exceeded = Vec::new();
        for (conf, allowed) in cases {
            let conf = with(conf(lab), &valid);
            let kind = conf["type"].as_str().unwrap();
            let call = lab.plugin(kind).without("LINKSPAN_DELEGATE").verb("GC");
            let (_, did) = traced(lab, call.conf(&conf));
            if did.requests > allowed.requests
                || did.dumps > allowed.dumps
                || did.files > allowed.files
                || did.processes > allowed.processes
                || did.waits > 0
            {
                exceeded.push((kind.to_owned(), did));
            }
        }
        assert!(exceeded.is_empty(), "GC does {exceeded:#?}");
    });
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
        [
            &[budget(1, 14, 0, 24)],
            &[budget(1, 6, 3, 10)],
            &[budget(1, 0, 0, 5)],
            &[budget(1, 15, 5, 10)],
        ],
    );
}

#[test]
fn a_dual_stack_bridge_keeps_to_its_budget() {
    keeps_to(
        "bridge",
        |lab, _| vec![bridge(lab, &json!({}))],
        [
            &[budget(1, 17, 2, 29)],
            &[budget(1, 11, 7, 11)],
            &[budget(1, 2, 1, 5)],
            &[budget(1, 12, 4, 11)],
        ],
    );
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
        [
            &[budget(1, 20, 2, 29)],
            &[budget(1, 14, 7, 11)],
            &[budget(1, 3, 1, 5)],
            &[budget(1, 24 + TICKS, 9, 11)],
        ],
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
        [
            &[budget(1, 17, 2, 29), budget(1, 5, 0, 18)],
            &[budget(1, 11, 7, 11), budget(1, 2, 0, 8)],
            &[budget(1, 2, 1, 5), budget(1, 0, 0, 2)],
            &[budget(1, 12, 4, 11), budget(1, 4, 0, 7)],
        ],
    );
}

#[test]
fn sbr_keeps_to_its_budget() {
    let plugins = |lab: &Lab, _| vec![bridge(lab, &json!({})), conf("sbr", &json!({}))];
    keeps_to(
        "sbr",
        plugins,
        [
            &[budget(1, 17, 2, 27), budget(1, 18, 6, 3)],
            &[budget(1, 11, 7, 11), budget(1, 5, 4, 3)],
            &[budget(1, 1, 0, 5), budget(1, 1, 1, 2)],
            &[budget(1, 12, 4, 11), budget(1, 18, 5, 3)],
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
        [
            &[budget(1, 17, 2, 27), budget(1, 8, 2, 3)],
            &[budget(1, 8, 4, 9), budget(1, 3, 2, 3)],
            &[budget(1, 1, 0, 5), budget(1, 0, 0, 2)],
            &[budget(1, 12, 4, 11), budget(1, 8, 2, 3)],
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
        [
            &[budget(1, 17, 2, 29), budget(1, 26, 14, 3)],
            &[budget(1, 11, 7, 11), budget(1, 2, 0, 3)],
            &[budget(1, 1, 0, 5), budget(1, 1, 0, 2)],
            &[budget(1, 15, 5, 11), budget(1, 22, 11, 3)],
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
        [
            &[budget(1, 17, 2, 29), budget(1, 20, 1, 4)],
            &[budget(1, 11, 7, 11), budget(1, 9, 1, 4)],
            &[budget(1, 2, 1, 5), budget(1, 0, 0, 2)],
            &[budget(1, 12, 4, 11), budget(1, 12, 1, 4)],
        ],
    );
}

#[test]
fn tuning_without_keys_costs_nothing() {
    let plugins = |lab: &Lab, _| vec![bridge(lab, &json!({})), conf("tuning", &json!({}))];
    keeps_to(
        "tuning without keys",
        plugins,
        [
            &[budget(1, 17, 2, 29), budget(1, 0, 0, 1)],
            &[budget(1, 11, 7, 11), budget(1, 0, 0, 1)],
            &[budget(1, 2, 1, 5), budget(1, 0, 0, 1)],
            &[budget(1, 12, 4, 11), budget(1, 0, 0, 2)],
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
            let but_for_ticks = |cost: &Budget| (cost.processes, cost.dumps, cost.files);
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
        [
            &[budget(1, 15, 1, 20), budget(1, 6, 0, 4)],
            &[budget(1, 15, 7, 11), budget(1, 8, 2, 3)],
            &[budget(1, 4, 1, 5), budget(1, 2, 0, 1)],
            &[budget(1, 13, 5, 10), budget(1, 7 + TICKS, 0, 5)],
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
        [
            &[budget(1, 17, 2, 29), budget(1, 7, 0, 3)],
            &[budget(1, 11, 7, 11), budget(1, 8, 0, 3)],
            &[budget(1, 2, 1, 5), budget(1, 2, 0, 3)],
            &[budget(1, 12, 4, 11), budget(1, 17 + TICKS, 8, 5)],
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
        [
            &[budget(1, 17, 2, 29), budget(1, 11, 4, 3)],
            &[budget(1, 11, 7, 11), budget(1, 13, 4, 3)],
            &[budget(1, 2, 1, 5), budget(1, 2, 0, 2)],
            &[budget(1, 12, 4, 11), budget(1, 13, 5, 5)],
        ],
    );
}
