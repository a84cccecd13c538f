//! Three nodes on one link, each with the agent and with pods, and an API server of the tests' own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its API server has threads"
)]

mod api;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::addresses;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::world::{Cable, plug};
use linkspan_harness::{skip, traffic};
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::route::{Route, RouteSpec};
use linkspan_node::routes::PROTOCOL;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use api::{Api, Mood};

const AGENT: &str = env!("CARGO_BIN_EXE_linkspan-node");

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

impl Node {
    /// The node of that number on the bridge of the lab's host, not yet known to the API server.
    fn new(lab: &Lab, api: &Api, bridge: u32, index: u8) -> Self {
        let sandbox = lab.sandbox();
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        lo.set_up().unwrap();
        let addresses = [format!("192.0.2.{index}"), format!("2001:db8::{index}")];
        let cable = Cable {
            name: &format!("node{index}"),
            bridge: Some(bridge),
            near: &[],
            far: &strs(&addresses),
        };
        plug(lab, &sandbox, cable);
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

    fn agent(&self) -> Running {
        let call = Call::new(Path::new(AGENT)).args(&[
            "--node",
            &self.name,
            "--server",
            &format!("http://{}", self.server),
            "--cluster-cidrs",
            "10.244.0.0/16,fd44::/56",
            "--list",
            &self.list.to_string_lossy(),
        ]);
        self.sandbox.netns.scope(|| call.spawn()).unwrap()
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

    /// Waits until our routes are these: the agent tells of each change.
    fn until_routes(&self, agent: &mut Running, expected: &[&str]) {
        while self.routes() != expected {
            let line = agent.line();
            assert!(!line.is_empty(), "the agent ended: {:?}", self.routes());
        }
    }

    /// Attaches a pod with the node's list, whose leases are kept beside it.
    fn pod(&self, lab: &Lab, id: &str) -> (Sandbox, Vec<IpAddr>) {
        let list: Value = serde_json::from_slice(&fs::read(&self.list).unwrap()).unwrap();
        let mut conf = list["plugins"][0].clone();
        conf["name"] = list["name"].clone();
        conf["cniVersion"] = list["cniVersion"].clone();
        conf["ipam"]["dataDir"] = json!(self.list.with_extension("leases"));
        let pod = lab.sandbox();
        let call = lab.plugin("ptp").of(id, &pod).conf(&conf);
        let result = self.sandbox.netns.scope(|| call.add()).unwrap();
        let addresses = addresses(&result);
        (pod, addresses)
    }
}

fn told(route: &Route) -> String {
    format!("{}/{} {}", route.dst.0, route.dst.1, route.gw.unwrap())
}

/// Reads the agent's log up to a line that has this.
fn until_told(agent: &mut Running, what: &str) {
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

/// Runs `body` with so many nodes that the API server knows.
fn in_cluster(count: u8, body: impl FnOnce(&Lab, &Api, &[Node]) + Send) {
    let suite = Path::new(AGENT).with_file_name("linkspan");
    if !suite.exists() {
        return skip::tell("needs the plugins beside the agent (cargo build)");
    }
    in_lab(&suite.to_string_lossy(), |lab| {
        let bridge = LinkSpec {
            mac: Some([2, 0, 0, 0, 1, 0]),
            ..LinkSpec::new("underlay", Kind::Bridge)
        };
        lab.rtnl().create(&bridge).unwrap();
        let bridge = lab.rtnl().link_by_name("underlay").unwrap().unwrap();
        bridge.set_up().unwrap();
        let api = Api::new();
        let node = |index| Node::new(lab, &api, bridge.index, index);
        let nodes: Vec<Node> = (1..=count).map(node).collect();
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

#[test]
fn pods_of_every_node_reach_each_other_with_their_own_addresses() {
    in_cluster(3, |lab, api, nodes| {
        let mut agents: Vec<Running> = nodes.iter().map(Node::agent).collect();
        for agent in &mut agents {
            until_told(agent, "set NetworkUnavailable to False");
        }
        assert_eq!(nodes[0].routes(), OF_FIRST);
        for node in nodes {
            assert_eq!(
                api.asked(&format!("PATCH /api/v1/nodes/{}/status", node.name)),
                1
            );
        }
        let pods: Vec<(Sandbox, Vec<IpAddr>)> = nodes
            .iter()
            .flat_map(|node| ["a", "b"].map(|id| node.pod(lab, &format!("{}{id}", node.name))))
            .collect();
        for (from, own) in &pods {
            for (to, ips) in &pods {
                // A pod without a loopback does not reach itself.
                for (source, ip) in own.iter().zip(ips).filter(|(source, ip)| source != ip) {
                    traffic::flows(&from.netns, &to.netns, *ip);
                    let server = Server::of(&to.netns, 4000, ip.is_ipv6());
                    let seen = server.answers(&from.netns, (*ip, 4000).into());
                    assert_eq!(seen, *source);
                }
            }
        }
        // Outside of the cluster the node's own address is seen.
        let world = Server::of(lab.host(), 4001, false);
        let bridge = lab.rtnl().link_by_name("underlay").unwrap().unwrap();
        linkspan_harness::world::add_address(&bridge, "192.0.2.100".parse().unwrap());
        let there = "192.0.2.100:4001".parse().unwrap();
        assert_eq!(
            world.answers(&pods[0].0.netns, there).to_string(),
            nodes[0].addresses[0]
        );
        agents.into_iter().for_each(Running::kill);
    });
}

#[test]
fn routes_follow_nodes_that_come_change_and_go() {
    in_cluster(3, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        api.put("n2", &["10.244.9.0/24"], &["192.0.2.2"]);
        nodes[0].until_routes(&mut agent, &["10.244.9.0/24 192.0.2.2"]);
        api.put(
            "n2",
            &["10.244.9.0/24", "fd44:0:0:9::/64"],
            &["192.0.2.7", "2001:db8::7"],
        );
        nodes[0].until_routes(
            &mut agent,
            &["10.244.9.0/24 192.0.2.7", "fd44:0:0:9::/64 2001:db8::7"],
        );
        // Another next hop in IPv6 replaces the route, too.
        api.put(
            "n2",
            &["10.244.9.0/24", "fd44:0:0:9::/64"],
            &["192.0.2.8", "2001:db8::8"],
        );
        nodes[0].until_routes(
            &mut agent,
            &["10.244.9.0/24 192.0.2.8", "fd44:0:0:9::/64 2001:db8::8"],
        );
        api.delete("n2");
        nodes[3 - 1].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &[OF_FIRST[1], OF_FIRST[3]]);
        agent.kill();
    });
}

#[test]
fn a_restart_changes_nothing_and_removes_what_is_stale() {
    in_cluster(3, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        until_told(&mut agent, "set NetworkUnavailable");
        agent.kill();
        assert_eq!(nodes[0].routes(), OF_FIRST);
        let list = fs::metadata(&nodes[0].list).unwrap();
        // A route of somebody else's number is not ours.
        let link = nodes[0]
            .sandbox
            .rtnl()
            .link_by_name("eth0")
            .unwrap()
            .unwrap();
        let foreign = RouteSpec {
            gw: Some("192.0.2.2".parse().unwrap()),
            ..RouteSpec::to("203.0.113.0".parse().unwrap(), 24)
        };
        link.add_route(&foreign).unwrap();
        api.delete("n2");
        let mut agent = nodes[0].agent();
        nodes[0].until_routes(&mut agent, &[OF_FIRST[1], OF_FIRST[3]]);
        let routes = nodes[0].sandbox.rtnl().routes(Family::V4).unwrap();
        assert!(routes.iter().any(|route| route.dst == foreign.dst));
        let now = fs::metadata(&nodes[0].list).unwrap();
        assert_eq!(now.modified().unwrap(), list.modified().unwrap());
        agent.kill();
    });
}

#[test]
fn bad_answers_leave_everything_as_it_is_until_a_good_one_comes() {
    in_cluster(3, |_lab, api, nodes| {
        let mut agent = nodes[0].agent();
        until_told(&mut agent, "set NetworkUnavailable");
        for (mood, told) in [
            (Mood::Broken, "InternalError"),
            (Mood::Forbidding, "Forbidden"),
            (Mood::Babbling, "the API server"),
        ] {
            api.set_mood(mood);
            until_told(&mut agent, told);
            assert_eq!(nodes[0].routes(), OF_FIRST);
            api.delete("n3");
            assert_eq!(nodes[0].routes(), OF_FIRST);
            api.set_mood(Mood::Well);
            nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
            nodes[2].register(api, &parts(3));
            nodes[0].until_routes(&mut agent, &OF_FIRST);
        }
        // Events that the server has forgotten: the list is read anew.
        let lists = api.asked("GET");
        api.forget();
        api.until_asked("GET", lists + 1);
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        // The own node's absence changes nothing.
        api.delete("n1");
        until_told(&mut agent, "has no node n1");
        assert_eq!(nodes[0].routes(), [OF_FIRST[0], OF_FIRST[2]]);
        agent.kill();
    });
}

#[test]
fn the_list_follows_the_nodes_own_part() {
    in_cluster(1, |_lab, api, nodes| {
        use std::os::unix::fs::PermissionsExt;
        let node = &nodes[0];
        node.register(api, &[]);
        let mut agent = node.agent();
        until_told(&mut agent, "has no podCIDRs yet");
        assert!(!node.list.exists());
        for index in [1, 7] {
            node.register(api, &parts(index));
            until_told(&mut agent, "wrote");
            let text = fs::read_to_string(&node.list).unwrap();
            assert!(text.contains(&format!("\"10.244.{index}.254\"")), "{text}");
            let mode = fs::metadata(&node.list).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let beside = fs::read_dir(node.list.parent().unwrap()).unwrap();
            assert_eq!(beside.count(), 1);
        }
        node.register(api, &["10.9.9.0/24".to_owned()]);
        until_told(
            &mut agent,
            "--cluster-cidrs holds the node's part 10.9.9.0/24",
        );
        assert!(
            fs::read_to_string(&node.list)
                .unwrap()
                .contains("\"10.244.7.254\"")
        );
        agent.kill();
    });
}
