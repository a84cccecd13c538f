//! Three nodes on one link, each with the agent and with pods, and an API server of the tests' own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its API server has threads"
)]

mod api;
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
use linkspan_netlink::link::{Kind, LinkSpec, Vxlan};
use linkspan_netlink::route::{Route, RouteSpec};
use linkspan_node::routes::PROTOCOL;
use linkspan_node::tunnel;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use api::{Api, Mood};

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
    /// The node of that number on the bridge of the lab's host or, without one, behind the host as its router. The API
    /// server does not know it yet.
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

    /// Waits until our routes are these: the agent tells of each change.
    fn until_routes(&self, agent: &mut Agent, expected: &[&str]) {
        while self.routes() != expected {
            let line = agent.line();
            assert!(!line.is_empty(), "the agent ended: {:?}", self.routes());
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.list).unwrap()
    }

    /// Attaches a pod with the node's list, whose leases are kept beside it.
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

/// An agent that runs. It is killed with the test.
struct Agent(Option<Running>);

impl Agent {
    fn line(&mut self) -> String {
        self.0.as_mut().unwrap().line()
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
                let server = Server::of(&to.sandbox.netns, 4000, ip.is_ipv6());
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

/// Reads the agent's log up to a line that has this.
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

/// Runs `body` with so many nodes on one link, which the API server knows, and with so many more behind a router.
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

#[test]
fn pods_of_every_node_reach_each_other_with_their_own_addresses() {
    in_cluster(2, 1, |lab, api, nodes| {
        if !skip::has_kind(&lab.rtnl(), &Kind::Vxlan(Vxlan::at(tunnel::PORT))) {
            return;
        }
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for (agent, node) in agents.iter_mut().zip(nodes) {
            until_told(agent, "set NetworkUnavailable to False");
            let patches = format!("PATCH /api/v1/nodes/{}/status", node.name);
            assert_eq!(api.asked(&patches), 1);
        }
        let routes = [
            "10.244.2.0/24 192.0.2.2",
            "10.244.3.0/24 vxlan 198.51.100.3",
            "fd44:0:0:2::/64 2001:db8::2",
            "fd44:0:0:3::/64 vxlan 2001:db8:f::3",
        ];
        assert_eq!(nodes[0].routes(), routes);
        // Headers of IPv6, UDP and VXLAN take 56 bytes of 1500.
        assert!(
            nodes[0].text().contains("\"mtu\": 1444"),
            "{}",
            nodes[0].text()
        );
        let pods: Vec<Pod> = nodes
            .iter()
            .flat_map(|node| ["a", "b"].map(|id| node.pod(lab, &format!("{}{id}", node.name))))
            .collect();
        mesh(&pods);
        // The router is outside of the cluster, and sees the node's own address.
        for (pod, node, router) in [(&pods[0], &nodes[0], NEAR), (&pods[4], &nodes[2], FAR)] {
            for (router, address) in router.iter().zip(&node.addresses) {
                let router: IpAddr = router.parse().unwrap();
                let world = Server::of(lab.host(), 4001, router.is_ipv6());
                let seen = world.answers(&pod.sandbox.netns, (router, 4001).into());
                assert_eq!(seen.to_string(), *address);
            }
        }
        // A node's own processes reach the pods of a node behind the router, whose answers find back.
        for ip in &pods[4].addresses {
            traffic::flows(&nodes[0].sandbox.netns, &pods[4].sandbox.netns, *ip);
        }
        // The agents go, and traffic stays.
        agents.into_iter().for_each(Agent::kill);
        mesh(&pods[1..4]);
    });
}

#[test]
fn every_node_may_be_reached_by_the_tunnel_and_none_need_be() {
    in_cluster(2, 1, |lab, _api, nodes| {
        if !skip::has_kind(&lab.rtnl(), &Kind::Vxlan(Vxlan::at(tunnel::PORT))) {
            return;
        }
        let link = |node: &Node| node.sandbox.rtnl().link_by_name(tunnel::NAME).unwrap();
        let mut agent = nodes[0].agent_with(&["--mode", "vxlan"]);
        let all = [
            "10.244.2.0/24 vxlan 192.0.2.2",
            "10.244.3.0/24 vxlan 198.51.100.3",
            "fd44:0:0:2::/64 vxlan 2001:db8::2",
            "fd44:0:0:3::/64 vxlan 2001:db8:f::3",
        ];
        until_told(&mut agent, "set NetworkUnavailable");
        assert_eq!(nodes[0].routes(), all);
        assert_eq!(link(&nodes[0]).unwrap().mtu, 1444);
        agent.kill();
        let mut agent = nodes[0].agent_with(&["--mode", "direct"]);
        until_told(
            &mut agent,
            "no route to 10.244.3.0/24: 198.51.100.3 and 2001:db8:f::3 is not on a link",
        );
        let direct = [all[0], all[2]].map(|route| route.replace("vxlan ", ""));
        assert_eq!(nodes[0].routes(), direct);
        assert!(link(&nodes[0]).is_none());
        assert!(!nodes[0].text().contains("mtu"));
        agent.kill();
    });
}

#[test]
fn routes_follow_nodes_that_come_change_and_go() {
    in_cluster(3, 0, |_lab, api, nodes| {
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
    in_cluster(3, 0, |_lab, api, nodes| {
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
    in_cluster(3, 0, |_lab, api, nodes| {
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
        // A bookmark is gone on from, where the server has forgotten what was before it.
        nodes[2].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        let lists = api.asked("GET");
        let mark = api.bookmark();
        let again = format!("resourceVersion={mark}");
        api.delete("n3");
        nodes[0].until_routes(&mut agent, &[OF_FIRST[0], OF_FIRST[2]]);
        api.forget_before(mark);
        nodes[2].register(api, &parts(3));
        nodes[0].until_routes(&mut agent, &OF_FIRST);
        assert_eq!(api.asked("GET"), lists, "{again}");
        // A slow stream is one of whole events all the same.
        api.set_mood(Mood::Dripping);
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
    in_cluster(1, 0, |_lab, api, nodes| {
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
            assert!(text.contains(&format!("\"10.244.{index}.0/24\"")), "{text}");
            let mode = fs::metadata(&node.list).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let beside = fs::read_dir(node.list.parent().unwrap()).unwrap();
            assert_eq!(beside.count(), 1);
        }
        // The host's own network is not for pods, and the list stays.
        node.register(api, &["192.0.2.0/25".to_owned()]);
        until_told(&mut agent, "overlaps the host's own 192.0.2.0/24");
        assert!(node.text().contains("\"10.244.7.0/24\""));
        agent.kill();
    });
}

#[test]
fn a_template_is_judged_before_engines_see_it() {
    in_cluster(1, 0, |_lab, _api, nodes| {
        let node = &nodes[0];
        let template = node.list.with_extension("template");
        let ptp = json!({ "type": "ptp", "mtu": 1400, "ipam": { "type": "host-local" } });
        let bad = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [ptp, { "type": "portmap", "snat": "yes" }] });
        fs::write(&template, bad.to_string()).unwrap();
        let mut agent = node.agent_with(&["--template", &template.to_string_lossy()]);
        until_told(&mut agent, "the list is not good, and is not written");
        assert!(!node.list.exists());
        let good = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [ptp] });
        fs::write(&template, good.to_string()).unwrap();
        until_told(&mut agent, "wrote");
        let list: Value = serde_json::from_str(&node.text()).unwrap();
        assert_eq!(list["plugins"][0]["mtu"], 1400);
        assert_eq!(
            list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.244.1.0/24"
        );
        agent.kill();
    });
}

#[test]
fn health_and_figures_are_told_and_what_is_not_well_is_an_event() {
    in_cluster(2, 0, |_lab, api, nodes| {
        let node = &nodes[0];
        node.register(api, &[]);
        fs::create_dir_all(node.leases().join("linkspan")).unwrap();
        fs::write(node.leases().join("linkspan/10.9.9.9"), "").unwrap();
        let mut agent = node.agent_with(&["--health", "127.0.0.1:0", "--log", "json"]);
        let line: Value = serde_json::from_str(&agent.line()).unwrap();
        let message = line["message"].as_str().unwrap();
        let address = message
            .strip_prefix("listening at ")
            .unwrap()
            .parse()
            .unwrap();
        let ask = |path: &str| api::ask(&node.sandbox.netns, address, path);
        until_told(&mut agent, "has no podCIDRs yet");
        api.until_asked("POST /api/v1/namespaces/default/events", 1);
        assert!(ask("/readyz").starts_with("HTTP/1.1 503"));
        assert!(ask("/healthz").starts_with("HTTP/1.1 200"));
        node.register(api, &parts(1));
        until_told(&mut agent, "10.9.9.9; delete those pods");
        api.until_asked("POST /api/v1/namespaces/default/events", 2);
        until_told(&mut agent, "set NetworkUnavailable");
        assert!(ask("/readyz").starts_with("HTTP/1.1 200"));
        let told = ask("/metrics");
        for line in [
            "ready 1",
            "nodes 2",
            "routes 2",
            "refused 1",
            "lists_written_total 1",
        ] {
            assert!(
                told.contains(&format!("\nlinkspan_node_{line}\n")),
                "{line}: {told}"
            );
        }
        assert!(ask("/other").starts_with("HTTP/1.1 404"));
        let event = api.events().pop().unwrap();
        assert_eq!(event["involvedObject"]["name"], "n1");
        assert_eq!(event["involvedObject"]["uid"], "uid-n1");
        assert!(event["message"].as_str().unwrap().contains("10.9.9.9"));
        agent.kill();
    });
}

#[test]
fn the_server_shows_its_certificate_and_the_agent_its_token() {
    in_cluster(3, 0, |lab, api, nodes| {
        let node = &nodes[0];
        api.want("of the account");
        let account = lab.dir().join("account");
        fs::create_dir(&account).unwrap();
        let server = format!("https://{}", api.listen_securely(&node.sandbox.netns));
        let account_dir = account.to_string_lossy();
        let start = |authority: &str, token: &str| {
            fs::write(account.join("ca.crt"), authority).unwrap();
            fs::write(account.join("token"), token).unwrap();
            let call = Call::new(Path::new(AGENT)).args(&[
                "--node",
                "n1",
                "--server",
                &server,
                "--account",
                &account_dir,
                "--list",
                &node.list.to_string_lossy(),
                "--leases",
                &node.leases().to_string_lossy(),
            ]);
            Agent(Some(node.sandbox.netns.scope(|| call.spawn()).unwrap()))
        };
        for (authority, token, told) in [
            (tls::ANOTHER, "of the account", "certificate"),
            (tls::AUTHORITY, "of nobody", "Unauthorized"),
        ] {
            let mut agent = start(authority, token);
            until_told(&mut agent, told);
            agent.kill();
            assert!(node.routes().is_empty() && !node.list.exists());
        }
        let mut agent = start(tls::AUTHORITY, "of the account");
        until_told(&mut agent, "set NetworkUnavailable");
        assert_eq!(node.routes(), OF_FIRST);
        agent.kill();
    });
}

#[test]
fn traffic_goes_on_while_nodes_come_and_go_and_agents_are_killed() {
    in_cluster(3, 0, |lab, api, nodes| {
        let mut agents: Vec<Agent> = nodes.iter().map(Node::agent).collect();
        for agent in &mut agents {
            until_told(agent, "set NetworkUnavailable");
        }
        let pods = [nodes[0].pod(lab, "a"), nodes[2].pod(lab, "b")];
        let flows = || {
            for ip in &pods[1].addresses {
                traffic::flows(&pods[0].sandbox.netns, &pods[1].sandbox.netns, *ip);
            }
        };
        for _ in 0..10 {
            api.delete("n2");
            flows();
            // Whatever it was doing.
            agents.drain(..).for_each(Agent::kill);
            flows();
            agents = nodes.iter().map(Node::agent).collect();
            flows();
            nodes[1].register(api, &parts(2));
            flows();
        }
        nodes[0].until_routes(&mut agents[0], &OF_FIRST);
        mesh(&pods);
    });
}
