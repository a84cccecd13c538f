//! Three nodes on one link, each with the agent and with pods, and an API server of the tests' own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its API server has threads"
)]

mod answers;
mod api;
mod cri;
mod outage;
mod routes;
mod scale;
mod sweep;
mod tls;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::addresses;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::world::{Cable, add_address, lead, plug, set_sysctl};
use linkspan_harness::{skip, traffic};
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::route::Route;
use linkspan_node::routes::PROTOCOL;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use api::Api;

const AGENT: &str = env!("CARGO_BIN_EXE_linkspan-node");

/// The router's addresses on the link of the near nodes, and on that of the far one.
const NEAR: [&str; 2] = ["192.0.2.254", "2001:db8::254"];
const FAR: [&str; 2] = ["198.51.100.254", "2001:db8:f::254"];

struct Node {
    name: String,
    sandbox: Sandbox,
    addresses: [String; 2],
    list: PathBuf,
    server: SocketAddr,
}

fn parts(index: u8) -> [String; 2] {
    [
        format!("10.244.{index}.0/24"),
        format!("fd44:0:0:{index}::/64"),
    ]
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The executable of the plugins, which is built beside the agent.
fn suite() -> PathBuf {
    Path::new(AGENT).with_file_name("linkspan")
}

impl Node {
    /// The node with that number on the bridge of the lab's host or, without one, behind the host as its router. The
    /// API server does not know it yet.
    fn new(lab: &Lab, api: &Api, bridge: Option<u32>, index: u8) -> Self {
        let sandbox = lab.sandbox();
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        lo.set_up().unwrap();
        let (router, nets) = match bridge {
            Some(_) => (NEAR, ["192.0.2", "2001:db8:"]),
            None => (FAR, ["198.51.100", "2001:db8:f:"]),
        };
        let addresses = [
            format!("{}.{index}", nets[0]),
            format!("{}:{index}", nets[1]),
        ];
        let cable = Cable {
            name: &format!("node{index}"),
            bridge,
            near: if bridge.is_some() { &[] } else { &router },
            far: &strs(&addresses),
        };
        plug(lab, &sandbox, cable);
        lead(&sandbox, "eth0", &router);
        let name = format!("n{index}");
        let dir = lab.dir().join(&name);
        fs::create_dir(&dir).unwrap();
        Self {
            server: api.listen(&sandbox.netns),
            list: dir.join("10-linkspan.conflist"),
            name,
            sandbox,
            addresses,
        }
    }

    fn register(&self, api: &Api, parts: &[String]) {
        api.put(&self.name, &strs(parts), &strs(&self.addresses));
    }

    fn agent(&self) -> Agent {
        self.agent_with(&[])
    }

    fn agent_with(&self, further: &[&str]) -> Agent {
        let call = Call::new(Path::new(AGENT))
            .args(&[
                "--node",
                &self.name,
                "--server",
                &format!("http://{}", self.server),
                "--list",
                &self.list.to_string_lossy(),
                "--linkspan",
                &suite().to_string_lossy(),
                "--leases",
                &self.leases().to_string_lossy(),
            ])
            .args(further);
        Agent(Some(self.sandbox.netns.scope(|| call.spawn()).unwrap()))
    }

    fn leases(&self) -> PathBuf {
        self.list.with_extension("leases")
    }

    /// Our routes, as text.
    fn routes(&self) -> Vec<String> {
        let rtnl = self.sandbox.rtnl();
        let routes = Family::BOTH.map(|family| rtnl.routes(family).unwrap());
        let ours = routes.into_iter().flatten();
        ours.filter(|route| route.protocol == PROTOCOL)
            .map(|route| told(&route))
            .collect()
    }

    /// Waits for these routes of ours. The agent logs each change.
    fn until_routes(&self, agent: &mut Agent, expected: &[&str]) {
        while self.routes() != expected {
            let line = agent.line();
            assert!(!line.is_empty(), "the agent ended: {:?}", self.routes());
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.list).unwrap()
    }

    /// Attaches a pod with the node's list. Its leases are kept beside the list.
    fn pod(&self, lab: &Lab, id: &str) -> Pod {
        let list: Value = serde_json::from_str(&self.text()).unwrap();
        let mut conf = list["plugins"][0].clone();
        conf["name"] = list["name"].clone();
        conf["cniVersion"] = list["cniVersion"].clone();
        conf["ipam"]["dataDir"] = json!(self.leases());
        let sandbox = lab.sandbox();
        let call = lab.plugin("ptp").of(id, &sandbox).conf(&conf);
        let result = self.sandbox.netns.scope(|| call.add()).unwrap();
        Pod {
            addresses: addresses(&result),
            sandbox,
        }
    }
}

/// A running agent, killed with the test.
struct Agent(Option<Running>);

impl Agent {
    fn line(&mut self) -> String {
        self.0.as_mut().unwrap().line()
    }

    fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().pid()
    }

    fn kill(mut self) {
        self.0.take().unwrap().kill();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Running::kill);
    }
}

struct Pod {
    sandbox: Sandbox,
    addresses: Vec<IpAddr>,
}

/// Every pod reaches every other one with its own address, in both families.
fn mesh(pods: &[Pod]) {
    for from in pods {
        for to in pods {
            // A pod without a loopback does not reach itself.
            let pairs = from.addresses.iter().zip(&to.addresses);
            for (source, ip) in pairs.filter(|(source, ip)| source != ip) {
                traffic::flows(&from.sandbox.netns, &to.sandbox.netns, *ip);
                let server = Server::of(&to.sandbox.netns, 4000, Family::of(*ip));
                let seen = server.answers(&from.sandbox.netns, (*ip, 4000).into());
                assert_eq!(seen, *source);
            }
        }
    }
}

fn told(route: &Route) -> String {
    let far = route.encap.map(|encap| format!("vxlan {}", encap.remote));
    let to = far.unwrap_or_else(|| route.gw.unwrap().to_string());
    format!("{}/{} {to}", route.dst.0, route.dst.1)
}

/// Reads the agent's log up to a line with this text.
fn until_told(agent: &mut Agent, what: &str) {
    let mut seen = Vec::new();
    loop {
        let line = agent.line();
        assert!(
            !line.is_empty(),
            "the agent ended before it told of {what}: {seen:?}"
        );
        if line.contains(what) {
            return;
        }
        seen.push(line);
    }
}

/// Runs `body` with `near` nodes on one link, which the API server knows, and with `far` nodes behind a router.
fn in_cluster(near: u8, far: u8, body: impl FnOnce(&Lab, &Api, &[Node]) + Send) {
    if !suite().exists() {
        return skip::tell("needs the plugins beside the agent (cargo build)");
    }
    in_lab(&suite().to_string_lossy(), |lab| {
        let bridge = LinkSpec {
            mac: Some([2, 0, 0, 0, 1, 0]),
            ..LinkSpec::new("underlay", Kind::Bridge)
        };
        lab.rtnl().create(&bridge).unwrap();
        let bridge = lab.rtnl().link_by_name("underlay").unwrap().unwrap();
        for address in NEAR {
            add_address(&bridge, address.parse().unwrap());
        }
        bridge.set_up().unwrap();
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set_sysctl(lab.host(), key, "1");
        }
        let api = Api::new();
        let node = |index| {
            let bridge = (index <= near).then_some(bridge.index);
            Node::new(lab, &api, bridge, index)
        };
        let nodes: Vec<Node> = (1..=near + far).map(node).collect();
        for (node, index) in nodes.iter().zip(1..) {
            node.register(&api, &parts(index));
        }
        body(lab, &api, &nodes);
    });
}

const OF_FIRST: [&str; 4] = [
    "10.244.2.0/24 192.0.2.2",
    "10.244.3.0/24 192.0.2.3",
    "fd44:0:0:2::/64 2001:db8::2",
    "fd44:0:0:3::/64 2001:db8::3",
];
