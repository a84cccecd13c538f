//! containerd's `ctr run --cni`, from Debian and unmodified. It is known for its DEL without `CNI_NETNS`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, SocketAddr};

use linkspan_harness::call::Running;
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::server::Server;
use linkspan_harness::world::{HOST, WORLD, beyond};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The network of README, as it is.
const BRIDGE: &str = include_str!("../../conf-examples/bridge.conflist");

/// Disables the parts of containerd that a node cannot run.
const CONTAINERD: &str = r#"
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
"#;

/// Starts the container `name`. Its process is executed after the attachment, and prints a line.
fn start(node: &Node<'_>, name: &str) -> Running {
    let config = node.home().join("config.json");
    let spec = node.spec(&["sh", "-c", "echo up; exec sleep 100000"]);
    fs::write(&config, spec.to_string()).unwrap();
    let args = ["run", "--cni", "--config", config.to_str().unwrap(), name];
    let mut running = node.call("ctr", &args).spawn();
    let up = running.line() == "up";
    assert!(up, "{}", running.wait().stderr);
    running
}

fn pid(node: &Node<'_>, name: &str) -> u64 {
    let tasks = node.call("ctr", &["task", "ls"]).run();
    let mut lines = tasks.succeeded().lines();
    let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_container_is_attached_before_it_runs_and_detached_without_its_namespace() {
    let tools = ["containerd", "ctr", "runc", "busybox"];
    in_node(LINKSPAN, As::Root, &tools, |node| {
        fs::write(node.net_d().join("10-linkspan.conflist"), BRIDGE).unwrap();
        fs::create_dir_all("/etc/containerd").unwrap();
        fs::write("/etc/containerd/config.toml", CONTAINERD).unwrap();
        let daemon = node.daemon("containerd", &[]);
        node.witness(&["bridge", "portmap"]);
        let world = beyond(node.lab);
        let running = start(node, "c1");
        assert_eq!(node.attached(), ["default-c1 eth0"]);
        let c1 = node.netns_of(pid(node, "c1"));
        let leases = node.leases();
        assert_eq!(leases.len(), 2);
        for lease in leases {
            let ip: IpAddr = lease.parse().unwrap();
            let family = Family::of(ip);
            Server::of(&c1, 80, Family::of(ip)).answers(node.lab.host(), SocketAddr::new(ip, 80));
            let outside = SocketAddr::new(family.pick(WORLD[0], WORLD[1]).parse().unwrap(), 80);
            let seen = Server::new(&world.netns, outside).answers(&c1, outside);
            assert_eq!(
                seen,
                family.pick(HOST[0], HOST[1]).parse::<IpAddr>().unwrap()
            );
        }
        node.asked();
        drop(c1);
        node.call("ctr", &["task", "kill", "--signal", "KILL", "c1"])
            .run()
            .succeeded();
        assert_eq!(running.wait().status, 137);
        let asked = node.asked();
        let told = |call: &Value| ["as", "verb", "container", "netns"].map(|key| call[key].clone());
        let told: Vec<_> = asked.iter().map(told).collect();
        assert_eq!(
            told,
            ["portmap", "bridge"].map(|plugin| [
                json!(plugin),
                json!("DEL"),
                json!("default-c1"),
                json!("")
            ])
        );
        node.is_clean();
        daemon.kill();
    });
}
