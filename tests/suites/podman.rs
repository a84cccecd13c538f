//! podman 4, from Debian and unmodified, with the backend `cni`: its lists have `firewall` and `tuning` after `bridge`
//! and `portmap`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr};

use linkspan_harness::call::Output;
use linkspan_harness::lab::go_plugins;
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::podman;
use linkspan_harness::server::{Server, is_published};
use linkspan_harness::world::beyond;
use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;
use serde_json::Value;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const TOOLS: [&str; 5] = ["podman", "conmon", "crun", "iptables", "busybox"];
const BRIDGE: &str = include_str!("../../conf-examples/bridge.conflist");
const DOCUMENTATION: &str = include_str!("../../docs/clients.md");
const IMAGE: &str = "localhost/sleeper:latest";

/// podman on a node, with the networks `one`, of both families, and `two`.
struct Podman<'a>(&'a Node<'a>);

fn with_podman(test: &str, body: impl FnOnce(&Podman<'_>) + Send) {
    in_node(LINKSPAN, As::Root, &TOOLS, |node| {
        if go_plugins(test).is_none() {
            return;
        }
        let (_, of_podman) = DOCUMENTATION.split_once("### podman").unwrap();
        let (_, rest) = of_podman.split_once("```toml\n").unwrap();
        let (network, _) = rest.split_once("```").unwrap();
        podman::configure(&format!("{network}{}", podman::NO_GROUPS));
        let podman = Podman(node);
        podman.does(&["load", "-i", node.image(IMAGE).to_str().unwrap()]);
        podman.does(&[
            "network",
            "create",
            "--subnet",
            "10.5.0.0/24",
            "--ipv6",
            "--subnet",
            "fd05::/64",
            "one",
        ]);
        podman.does(&["network", "create", "--subnet", "10.6.0.0/24", "two"]);
        let list: Value =
            serde_json::from_str(&fs::read_to_string(node.net_d().join("one.conflist")).unwrap())
                .unwrap();
        let types = list["plugins"].as_array().unwrap().iter();
        let types: Vec<&Value> = types.map(|plugin| &plugin["type"]).collect();
        assert_eq!(types, ["bridge", "portmap", "firewall", "tuning"]);
        body(&podman);
    });
}

impl Podman<'_> {
    fn call(&self, args: &[&str]) -> Output {
        self.0.call("podman", args).run()
    }

    fn does(&self, args: &[&str]) -> String {
        self.call(args).succeeded().trim().to_owned()
    }

    /// Starts the container `name`; returns its namespace.
    fn run(&self, name: &str, args: &[&str]) -> Netns {
        self.does(&[&["run", "-d", "--name", name], args, &[IMAGE]].concat());
        self.netns(name)
    }

    fn netns(&self, name: &str) -> Netns {
        let pid = self.does(&["inspect", "--format", "{{.State.Pid}}", name]);
        self.0.netns_of(pid.parse().unwrap())
    }

    fn remove(&self, names: &[&str]) {
        self.does(&[&["rm", "-t", "0", "-f"], names].concat());
    }

    /// The interfaces of the attachments.
    fn interfaces(&self) -> Vec<String> {
        let attached = self.0.attached().into_iter();
        let mut names: Vec<String> = attached
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect();
        names.sort();
        names
    }

    /// Asserts that a server in `netns` at `ip` can be reached from the host.
    fn reaches(&self, netns: &Netns, ip: &str) {
        let ip: IpAddr = ip.parse().unwrap();
        let server = Server::new(netns, SocketAddr::new(ip, 99));
        server.answers(self.0.lab.host(), SocketAddr::new(ip, 99));
    }
}

fn own_links(netns: &Netns) -> Vec<Link> {
    let rtnl = Rtnl::open(netns).unwrap();
    let links = rtnl.links().unwrap().into_iter();
    links.filter(|link| link.name != "lo").collect()
}

/// The hardware addresses of a container's own links.
fn macs(netns: &Netns) -> Vec<[u8; 6]> {
    let own = own_links(netns).into_iter();
    own.map(|link| link.mac).collect()
}

#[test]
fn a_published_port_survives_a_restart_and_goes_with_the_container() {
    with_podman("a published port", |podman| {
        let world = beyond(podman.0.lab);
        let ports = ["--network", "one", "-p", "8080:80/tcp", "-p", "8080:80/udp"];
        let c1 = podman.run("c1", &ports);
        let c2 = podman.run("c2", &["--network", "one"]);
        let is_reached = |c1: &Netns| {
            is_published(podman.0.lab.host(), &[&world.netns, &c2], c1, (8080, 80));
        };
        is_reached(&c1);
        drop(c1);
        podman.does(&["restart", "-t", "0", "c1"]);
        is_reached(&podman.netns("c1"));
        assert_eq!(podman.interfaces(), ["eth0", "eth0"]);
        assert_eq!(podman.0.leases().len(), 4);
        // Another container's port.
        let refused = podman.call(&[&["run", "-d", "--name", "c3"], &ports[..], &[IMAGE]].concat());
        let told = "host port 8080/tcp is already published for container";
        assert!(
            refused.status != 0 && refused.stderr.contains(told),
            "{}",
            refused.stderr
        );
        assert_eq!(podman.0.leases().len(), 4);
        drop(c2);
        podman.remove(&["c1", "c2", "c3"]);
        podman.0.is_clean();
    });
}

#[test]
fn addresses_of_ones_own_on_two_networks_that_come_and_go() {
    with_podman("two networks", |podman| {
        let alone = [
            "--network",
            "two",
            "--ip",
            "10.6.0.77",
            "--mac-address",
            "02:00:00:00:00:77",
        ];
        let c1 = podman.run("c1", &alone);
        assert_eq!(macs(&c1), [[2, 0, 0, 0, 0, 0x77]]);
        podman.reaches(&c1, "10.6.0.77");
        let both = [
            "--network",
            "one:ip=10.5.0.9,mac=02:00:00:00:00:09",
            "--network",
            "two:ip=10.6.0.9",
            "-p",
            "8080:80",
            "-p",
            "8080:80/udp",
        ];
        let c2 = podman.run("c2", &both);
        assert!(macs(&c2).contains(&[2, 0, 0, 0, 0, 9]));
        let published = || {
            let lo = "127.0.0.1:8080".parse().unwrap();
            Server::of(&c2, 80, Family::V4).answers(podman.0.lab.host(), lo);
        };
        published();
        podman.reaches(&c2, "10.5.0.9");
        podman.reaches(&c2, "10.6.0.9");
        assert_eq!(podman.interfaces(), ["eth0", "eth0", "eth1"]);
        podman.does(&["network", "disconnect", "two", "c2"]);
        podman.reaches(&c2, "10.5.0.9");
        // podman chooses the network of eth0 anew at each run.
        assert_eq!(podman.interfaces(), ["eth0", &own_links(&c2)[0].name]);
        podman.does(&["network", "connect", "--ip", "10.6.0.10", "two", "c2"]);
        podman.reaches(&c2, "10.6.0.10");
        published();
        assert_eq!(podman.interfaces(), ["eth0", "eth0", "eth1"]);
        drop((c1, c2));
        podman.remove(&["c1", "c2"]);
        podman.0.is_clean();
    });
}

/// As docs/clients.md describes.
#[test]
fn podman_asks_of_the_plugins_what_the_documentation_tells() {
    with_podman("what podman asks", |podman| {
        podman.0.witness(&["bridge", "portmap"]);
        let own = "one:ip=10.5.0.9,mac=02:00:00:00:00:09";
        podman.run("c1", &["--network", own, "-p", "8080:80"]);
        podman.remove(&["c1"]);
        let asked = podman.0.asked();
        let (versions, calls): (Vec<_>, Vec<_>) =
            asked.iter().partition(|call| call["verb"] == "VERSION");
        assert!(versions.len() >= 2, "{versions:?}");
        let told = calls
            .iter()
            .map(|call| ["verb", "as", "ifname"].map(|key| call[key].as_str().unwrap()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ["ADD", "bridge", "eth0"],
                ["ADD", "portmap", "eth0"],
                ["DEL", "portmap", "eth0"],
                ["DEL", "bridge", "eth0"],
            ]
        );
        for call in calls {
            // DEL has the namespace, too: podman keeps it until DEL is over.
            assert!(
                call["netns"]
                    .as_str()
                    .unwrap()
                    .starts_with("/run/netns/netns-"),
                "{call}"
            );
            let args = call["args"].as_str().unwrap();
            for pair in [
                "IgnoreUnknown=1",
                "K8S_POD_NAME=c1",
                "IP=10.5.0.9",
                "MAC=02:00:00:00:00:09",
            ] {
                assert!(args.split(';').any(|one| one == pair), "{args}");
            }
            assert_eq!(call["conf"]["cniVersion"], "0.4.0");
            assert_eq!(
                call["conf"]["prevResult"].is_null(),
                call["verb"] == "ADD" && call["as"] == "bridge"
            );
        }
        // A list that podman did not make works, too.
        fs::write(podman.0.net_d().join("10-linkspan.conflist"), BRIDGE).unwrap();
        podman.run("c2", &["--network", "linkspan"]);
        assert_eq!(podman.0.leases().len(), 2);
        podman.remove(&["c2"]);
        podman.0.is_clean();
    });
}

/// Containers of an isolated network reach one another, but not those of another isolated network.
#[test]
fn networks_that_podman_isolates_are_kept_apart() {
    with_podman("isolated networks", |podman| {
        for (name, subnet) in [("three", "10.7.0.0/24"), ("four", "10.8.0.0/24")] {
            let create = ["network", "create", "--opt", "isolate=true", "--subnet"];
            podman.does(&[&create[..], &[subnet, name]].concat());
            let file = podman.0.net_d().join(format!("{name}.conflist"));
            let list: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
            assert_eq!(list["plugins"][2]["ingressPolicy"], "same-bridge", "{list}");
        }
        let [c1, c2, c3] = [("c1", "three"), ("c2", "three"), ("c3", "four")]
            .map(|(name, network)| podman.run(name, &["--network", network]));
        let ip = podman.does(&[
            "inspect",
            "--format",
            "{{.NetworkSettings.Networks.three.IPAddress}}",
            "c1",
        ]);
        let ip: IpAddr = ip.parse().unwrap();
        podman.reaches(&c1, &ip.to_string());
        let server = Server::new(&c1, (ip, 7000).into());
        server.answers(&c2, (ip, 7000).into());
        server.is_spared(&c3, (ip, 7000).into());
        drop(server);
        drop((c1, c2, c3));
        podman.remove(&["c1", "c2", "c3"]);
        podman.0.is_clean();
    });
}
