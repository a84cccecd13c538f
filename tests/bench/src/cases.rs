//! The measured lists, each for this suite and for those that it is compared with.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use linkspan_harness::conf::with;
use linkspan_harness::{kind, skip};
use linkspan_netlink::link::{Kind, LinkSpec, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use serde_json::{Value, json};

use crate::beside::{self, Beside, Company};
use crate::chain::{Chain, List, Pod, TOOLS, Verb};
use crate::scenario::Who;

pub(crate) const POD: &str = "pod chain";
pub(crate) const ENGINES: &str = "engines' chain";
const TWENTY: &str = "pod chain, 20 ports";
const LIMITED: &str = "bridge with limits";
const MACVLAN: &str = "macvlan";

/// The cases in which the backend of the Go suite matters. Its firewall has none of nf_tables.
const BACKED: [&str; 3] = ["bridge with masquerade", POD, TWENTY];

/// A directory that has `nft` alone.
const NFT: &str = "nft";

/// The link of the host on which macvlans stand.
const MASTER: &str = "benchmaster";

/// So many ports that the kernel is busy for long after a DEL.
pub(crate) const THOUSAND: &str = "pod chain, 1,000 ports";

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

    fn ipam(&self, case: u8, dual: bool) -> Value {
        let subnet = |subnet: String| json!([{ "subnet": subnet }]);
        let at = self.number * 32 + case;
        let mut ranges = vec![subnet(format!("10.{at}.0.0/16"))];
        if dual {
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

    /// The keys that choose a backend, for bridge and for portmap. Ours needs none, unless it is to use iptables.
    fn backend(&self, iptables: bool) -> [Value; 2] {
        let backend = match self.who {
            Who::Ours if iptables => "iptables",
            Who::Nftables => "nftables",
            _ => return [json!({}), json!({})],
        };
        [
            json!({ "ipMasqBackend": backend }),
            json!({ "backend": backend }),
        ]
    }

    /// Bridge, addresses and masquerade.
    fn masquerading(&self, case: u8, iptables: bool) -> Value {
        let [backend, _] = self.backend(iptables);
        self.bridge(case, &with(json!({ "ipMasq": true }), &backend))
    }

    /// The same, and published ports.
    pub(crate) fn pod(&self, case: u8, ports: u16, iptables: bool) -> List {
        let [_, backend] = self.backend(iptables);
        let bridge = self.masquerading(case, iptables);
        self.list(vec![bridge, self.ports(case, (ports, "tcp"), &backend)])
    }

    /// The chain that podman, nerdctl and Nomad write, in their form, without a backend for firewall.
    fn engines(&self, case: u8) -> List {
        let mut list = self.pod(case, 1, false);
        let tuned = json!({ "dataDir": self.scratch.join("tuning") });
        list.plugins.extend([
            self.plugin("firewall", case, &json!({ "backend": "" })),
            self.plugin("tuning", case, &tuned),
        ]);
        list
    }

    /// Bridge and addresses, with limits in both directions.
    fn limited(&self, case: u8) -> List {
        let limits = json!({
            "ingressRate": 100_000_000,
            "ingressBurst": 10_000_000,
            "egressRate": 50_000_000,
            "egressBurst": 5_000_000,
        });
        let bridge = self.bridge(case, &json!({}));
        self.list(vec![bridge, self.plugin("bandwidth", case, &limits)])
    }

    /// A child of [`MASTER`], and addresses.
    fn macvlan(&self, case: u8) -> List {
        let over = json!({ "master": MASTER, "ipam": self.ipam(case, false) });
        self.list(vec![self.plugin("macvlan", case, &over)])
    }

    /// A pair with host routes, and addresses.
    pub(crate) fn ptp(&self, case: u8) -> List {
        self.list(vec![self.plugin(
            "ptp",
            case,
            &json!({ "ipam": self.ipam(case, false) }),
        )])
    }

    /// Where the plugins find programs. A node of nf_tables has no iptables, which this suite would execute, too, and
    /// whose 1.8.9 makes its DEL fail then.
    fn path(&self) -> String {
        match self.who {
            Who::Nftables => self.scratch.join(NFT).display().to_string(),
            _ => TOOLS.to_owned(),
        }
    }

    fn list(&self, plugins: Vec<Value>) -> List {
        List {
            dir: self.dir.to_owned(),
            path: self.path(),
            plugins,
            before: None,
        }
    }

    /// One plugin after another one.
    fn behind(&self, plugin: Value) -> List {
        List {
            before: Some(before()),
            ..self.list(vec![plugin])
        }
    }

    fn chain(&self, case: &str, list: List, verbs: &'static [Verb]) -> Chain {
        let pod = Pod::new(&format!("{:064x}", self.number));
        Chain::new((case, self.who), list, verbs, pod)
    }
}

/// Whether this suite can do the case in bearable time, and otherwise than its default does.
fn is_measured(who: Who, case: &str) -> bool {
    match who {
        // It executes iptables several times for each port, and takes minutes.
        Who::Theirs => ![THOUSAND, THOUSAND_UDP].contains(&case),
        Who::Nftables => BACKED.contains(&case),
        _ => true,
    }
}

/// Makes the directory of programs of a node without iptables. Returns whether there is `nft`; prints a line if not.
pub(crate) fn make_path(scratch: &Path) -> bool {
    let Some(nft) = skip::without("nft") else {
        return false;
    };
    let dir = scratch.join(NFT);
    fs::create_dir(&dir).unwrap();
    symlink(nft, dir.join("nft")).unwrap();
    true
}

/// Makes the link of the host on which macvlans stand, in the thread's namespace. Returns the cases that this kernel
/// cannot have; prints a line for each.
pub(crate) fn make_master() -> Vec<&'static str> {
    let host = Rtnl::here().unwrap();
    let mut lacking = vec![(LIMITED, Kind::Ifb), (MACVLAN, kind::macvlan())];
    lacking.retain(|(_, kind)| !skip::has_kind(&host, kind));
    let own = Netns::current().unwrap();
    let far = Peer::new("benchcable", own.as_fd());
    host.create_pair(&LinkSpec::new(MASTER, Kind::Veth), &far)
        .unwrap();
    for end in [MASTER, "benchcable"] {
        host.link_by_name(end).unwrap().unwrap().set_up().unwrap();
    }
    lacking.into_iter().map(|(case, _)| case).collect()
}

/// Every case, in the order of the table.
pub(crate) fn chains(place: &Place<'_>, lacking: &[&str]) -> Vec<Chain> {
    let pod = if place.who == Who::Ours { ALL } else { ATTACH };
    let mut cases = linkless(place);
    cases.extend([
        (
            "bridge",
            place.list(vec![place.bridge(4, &json!({}))]),
            CHECKED,
        ),
        (
            "bridge with masquerade",
            place.list(vec![place.masquerading(17, false)]),
            ATTACH,
        ),
        (
            "bridge, dual stack",
            place.list(vec![
                place.bridge(5, &json!({ "ipam": place.ipam(5, true) })),
            ]),
            ATTACH,
        ),
        (LIMITED, place.limited(18), ATTACH),
        ("ptp", place.ptp(6), ATTACH),
        (MACVLAN, place.macvlan(19), ATTACH),
        (POD, place.pod(7, 1, false), pod),
        ("pod chain, iptables", place.pod(8, 1, true), ATTACH),
        (ENGINES, place.engines(16), ATTACH),
        (TWENTY, place.pod(9, 20, false), ATTACH),
        (THOUSAND, place.pod(10, 1000, false), ATTACH),
    ]);
    cases.retain(|(case, list, _)| {
        is_measured(place.who, case) && !lacking.contains(case) && list.is_there()
    });
    let chain = |(case, list, verbs): (&str, _, _)| place.chain(case, list, verbs);
    cases.into_iter().map(chain).collect()
}

type Case = (&'static str, List, &'static [Verb]);

/// The cases of one plugin that makes no links. Some have nothing to do.
fn linkless(place: &Place<'_>) -> Vec<Case> {
    let none = json!({});
    let of = |plugin: Value| place.list(vec![plugin]);
    let behind = |plugin: Value| place.behind(plugin);
    let host_local = place.plugin("host-local", 1, &json!({ "ipam": place.ipam(1, false) }));
    vec![
        ("loopback", of(place.plugin("loopback", 0, &none)), ATTACH),
        ("host-local", of(host_local), ATTACH),
        (
            "portmap without ports",
            behind(place.ports(3, (0, "tcp"), &none)),
            ATTACH,
        ),
        (
            "tuning without keys",
            behind(place.plugin("tuning", 23, &none)),
            ATTACH,
        ),
        (
            "bandwidth without limits",
            behind(place.plugin("bandwidth", 24, &none)),
            ATTACH,
        ),
        (
            "portmap, one port",
            behind(place.ports(12, (1, "tcp"), &none)),
            ATTACH,
        ),
        (
            THOUSAND_UDP,
            behind(place.ports(11, (1000, "udp"), &none)),
            ATTACH,
        ),
    ]
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

/// Cases on crowded nodes. Those of many ports are ours alone: the Go suite executes iptables several times for each.
pub(crate) fn crowded(place: &Place<'_>) -> Vec<Beside> {
    let mut all = Vec::new();
    if place.who == Who::Ours {
        let mapping = json!({
            "hostPort": 20_000,
            "containerPort": 80,
            "protocol": "tcp",
            "hostIP": "127.0.0.1",
        });
        let one = json!({ "runtimeConfig": { "portMappings": [mapping] } });
        let many = place.behind(place.ports(13, (3000, "udp"), &json!({})));
        let one = place.behind(place.plugin("portmap", 14, &one));
        all.push(Beside {
            chain: place.chain(AMONG, one, ATTACH),
            company: Company::Ports(many, Pod::new("many")),
        });
    }
    if matches!(place.who, Who::Ours | Who::Theirs) && beside::has_legacy() {
        all.push(Beside {
            chain: place.chain(LEGACY, place.pod(15, 1, false), ATTACH),
            company: Company::LegacyRules(20_000),
        });
    }
    all
}
