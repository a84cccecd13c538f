//! The measured lists, each for this suite and for the one that it is compared with.

use std::path::Path;

use linkspan_harness::conf::with;
use serde_json::{Value, json};

use crate::beside::{self, Beside, Company};
use crate::chain::{Chain, List, Pod, Verb};
use crate::scenario::Who;

/// So many ports that the kernel is busy for long after a DEL.
const THOUSAND: &str = "pod chain, 1,000 ports";

/// Ports whose flows must be forgotten, in both families.
const THOUSAND_UDP: &str = "portmap, 1,000 UDP ports";

/// A port on one address of the host, where listing all published ports would take long.
const AMONG: &str = "portmap, hostIP among 3,000 ports";

/// A pod on a node where another program has filled the older packet filter.
const LEGACY: &str = "pod chain, 20,000 legacy rules";

pub(crate) const ATTACH: &[Verb] = &[Verb::Add, Verb::Del];
const CHECKED: &[Verb] = &[Verb::Add, Verb::Check, Verb::Del];
/// STATUS is of version 1.1 of the specification, which the Go suite of the distributions may not speak, and its portmap
/// checks only containers with addresses of both families.
const ALL: &[Verb] = &[Verb::Add, Verb::Check, Verb::Status, Verb::Del];

/// The place for the files of one suite's lists, separate from all others.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) who: Who,
    /// The plugins.
    pub(crate) dir: &'a Path,
    /// For files.
    pub(crate) scratch: &'a Path,
    /// Makes names and addresses differ from those of other places.
    pub(crate) number: u8,
}

impl Place<'_> {
    fn plugin(&self, kind: &str, case: u8, over: &Value) -> Value {
        let name = format!("bench{}-{case}", self.number);
        with(
            json!({ "cniVersion": "1.0.0", "name": name, "type": kind }),
            over,
        )
    }

    fn ipam(&self, case: u8, six: bool) -> Value {
        let subnet = |subnet: String| json!([{ "subnet": subnet }]);
        let at = self.number * 32 + case;
        let mut ranges = vec![subnet(format!("10.{at}.0.0/16"))];
        if six {
            ranges.push(subnet(format!("fd00:{at}::/64")));
        }
        json!({ "type": "host-local", "dataDir": self.scratch, "ranges": ranges })
    }

    fn bridge(&self, case: u8, over: &Value) -> Value {
        let base = json!({
            "bridge": format!("bench{}-{case}", self.number),
            "isDefaultGateway": true,
            "ipam": self.ipam(case, false),
        });
        self.plugin("bridge", case, &with(base, over))
    }

    fn ports(&self, case: u8, (count, protocol): (u16, &str), over: &Value) -> Value {
        let mapping =
            |n| json!({ "hostPort": 20_000 + n, "containerPort": 1000 + n, "protocol": protocol });
        let mappings: Vec<Value> = (0..count).map(mapping).collect();
        let ports = json!({ "runtimeConfig": { "portMappings": mappings } });
        self.plugin("portmap", case, &with(ports, over))
    }

    /// Bridge, addresses, masquerade and published ports.
    pub(crate) fn pod(&self, case: u8, ports: u16, iptables: bool) -> List {
        let over = |keys: Value| {
            if iptables && self.who == Who::Ours {
                keys
            } else {
                json!({})
            }
        };
        let masquerade = with(
            json!({ "ipMasq": true }),
            &over(json!({ "ipMasqBackend": "iptables" })),
        );
        let backend = over(json!({ "backend": "iptables" }));
        let bridge = self.bridge(case, &masquerade);
        self.list(vec![bridge, self.ports(case, (ports, "tcp"), &backend)])
    }

    /// The chain that podman, nerdctl and Nomad write, in their form, without a backend.
    fn engines(&self, case: u8) -> List {
        let mut list = self.pod(case, 1, false);
        let tuned = json!({ "dataDir": self.scratch.join("tuning") });
        list.plugins.extend([
            self.plugin("firewall", case, &json!({ "backend": "" })),
            self.plugin("tuning", case, &tuned),
        ]);
        list
    }

    /// A pair with host routes, and addresses.
    pub(crate) fn ptp(&self, case: u8) -> List {
        self.list(vec![self.plugin(
            "ptp",
            case,
            &json!({ "ipam": self.ipam(case, false) }),
        )])
    }

    fn list(&self, plugins: Vec<Value>) -> List {
        List {
            dir: self.dir.to_owned(),
            plugins,
            before: None,
        }
    }
}

/// Returns whether a case leaves the kernel much to clean up.
pub(crate) fn is_large(case: &str) -> bool {
    [THOUSAND, THOUSAND_UDP].contains(&case)
}

/// Every case, in the order of the table.
pub(crate) fn chains(place: &Place<'_>) -> Vec<Chain> {
    let of = |plugin: Value| place.list(vec![plugin]);
    let behind = |ports: Value| List {
        before: Some(before()),
        ..of(ports)
    };
    let unpublished = behind(place.ports(3, (0, "tcp"), &json!({})));
    let udp = behind(place.ports(11, (1000, "udp"), &json!({})));
    let one = behind(place.ports(12, (1, "tcp"), &json!({})));
    let host_local = place.plugin("host-local", 1, &json!({ "ipam": place.ipam(1, false) }));
    let dual = place.bridge(5, &json!({ "ipam": place.ipam(5, true) }));
    let pod = if place.who == Who::Ours { ALL } else { ATTACH };
    let cases: [(&str, List, &[Verb]); 13] = [
        (
            "loopback",
            of(place.plugin("loopback", 0, &json!({}))),
            ATTACH,
        ),
        ("host-local", of(host_local), ATTACH),
        ("portmap without ports", unpublished, ATTACH),
        ("portmap, one port", one, ATTACH),
        ("bridge", of(place.bridge(4, &json!({}))), CHECKED),
        ("bridge, dual stack", of(dual), ATTACH),
        ("ptp", place.ptp(6), ATTACH),
        ("pod chain", place.pod(7, 1, false), pod),
        ("pod chain, iptables", place.pod(8, 1, true), ATTACH),
        ("engines' chain", place.engines(16), ATTACH),
        ("pod chain, 20 ports", place.pod(9, 20, false), ATTACH),
        (THOUSAND, place.pod(10, 1000, false), ATTACH),
        (THOUSAND_UDP, udp, ATTACH),
    ];
    let chain = |(case, list, verbs): (&str, _, _)| Chain {
        case: case.to_owned(),
        base: None,
        who: place.who,
        list,
        verbs,
        pod: Pod::new(&format!("{:064x}", place.number)),
    };
    // The Go suite executes iptables several times for each port, and takes minutes.
    let bearable = |chain: &Chain| place.who == Who::Ours || !is_large(&chain.case);
    cases.into_iter().map(chain).filter(bearable).collect()
}

/// The previous result for portmap.
fn before() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "sandbox": "/pod" }],
        "ips": [
            { "address": "10.1.0.5/16", "interface": 0 },
            { "address": "fd00:1::5/64", "interface": 0 },
        ],
    })
}

/// Cases on crowded nodes. The Go suite executes iptables several times for each of many ports.
pub(crate) fn crowded(place: &Place<'_>) -> Vec<Beside> {
    let chain = |case: &str, list| Chain {
        case: case.to_owned(),
        base: None,
        who: place.who,
        list,
        verbs: ATTACH,
        pod: Pod::new(&format!("{:064x}", place.number)),
    };
    let behind = |ports: Value| List {
        before: Some(before()),
        ..place.list(vec![ports])
    };
    let mut all = Vec::new();
    if place.who == Who::Ours {
        let mapping = json!({
            "hostPort": 20_000,
            "containerPort": 80,
            "protocol": "tcp",
            "hostIP": "127.0.0.1",
        });
        let one = json!({ "runtimeConfig": { "portMappings": [mapping] } });
        let many = behind(place.ports(13, (3000, "udp"), &json!({})));
        all.push(Beside {
            chain: chain(AMONG, behind(place.plugin("portmap", 14, &one))),
            company: Company::Ports(many, Pod::new("many")),
        });
    }
    if beside::has_legacy() {
        all.push(Beside {
            chain: chain(LEGACY, place.pod(15, 1, false)),
            company: Company::LegacyRules(20_000),
        });
    }
    all
}
