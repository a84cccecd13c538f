//! containerd as kubelet uses it, from Debian and unmodified: pods over the gRPC of its CRI.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use linkspan_harness::call::Running;
use linkspan_harness::grpc::{self, Message};
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::server::{Server, is_published};
use linkspan_harness::world::{HOST, beyond};
use linkspan_netlink::netns::Netns;
use linkspan_runtime::traffic::connect;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const TOOLS: [&str; 4] = ["containerd", "ctr", "runc", "busybox"];
const IMAGE: &str = "docker.io/library/sleeper:latest";

/// The network of README, as it is.
const BRIDGE: &str = include_str!("../../conf-examples/bridge.conflist");

/// What a node of a test has not got, and no more: a registry, control groups, layers.
const CONTAINERD: &str = r#"
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/sleeper:latest"
disable_cgroup = true
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#;

/// Long enough for the slowest machine; nothing waits for it when containerd starts.
const DEADLINE: Duration = Duration::from_secs(60);

/// The protocols of the CRI.
const TCP: u16 = 0;
const UDP: u16 = 1;

/// containerd on a node.
struct Cri<'a> {
    node: &'a Node<'a>,
}

/// A pod that runs.
struct Pod {
    id: String,
    config: Message,
}

fn with_containerd(network: &str, body: impl FnOnce(&Cri<'_>, Running) + Send) {
    in_node(LINKSPAN, As::Root, &TOOLS, |node| {
        fs::write(node.net_d().join("10-linkspan.conflist"), network).unwrap();
        fs::create_dir_all("/etc/containerd").unwrap();
        fs::write("/etc/containerd/config.toml", CONTAINERD).unwrap();
        let cri = Cri { node };
        let daemon = cri.start();
        let image = node.image(IMAGE);
        let import = [
            "-n",
            "k8s.io",
            "images",
            "import",
            "--snapshotter",
            "native",
        ];
        let import = [&import[..], &[image.to_str().unwrap()]].concat();
        node.call("ctr", &import).run().succeeded();
        // It looks for images when it starts, and sooner or later else.
        daemon.kill();
        let daemon = cri.start();
        body(&cri, daemon);
    });
}

/// What the runtime service answers.
fn asked(method: &str, request: &Message) -> Result<Message, String> {
    let socket = Path::new("/run/containerd/containerd.sock");
    let path = format!("/runtime.v1.RuntimeService/{method}");
    grpc::call(socket, &path, request)
}

impl Cri<'_> {
    /// Starts containerd, and waits until it and its network are ready.
    fn start(&self) -> Running {
        let daemon = self.node.daemon("containerd", &[]);
        let until = Instant::now() + DEADLINE;
        while !Self::is_ready() {
            let log = || fs::read_to_string(self.node.home().join("containerd.log")).unwrap();
            assert!(Instant::now() < until, "{}", log());
            thread::yield_now();
        }
        daemon
    }

    fn is_ready() -> bool {
        let Ok(answer) = asked("Status", &Message::default()) else {
            return false;
        };
        let conditions = answer.messages(1)[0].messages(1);
        conditions.len() == 2 && conditions.iter().all(|one| one.numbers(2) == [1])
    }

    fn call(&self, method: &str, request: &Message) -> Message {
        let told = |failure: String| {
            let log = fs::read_to_string(self.node.home().join("containerd.log")).unwrap();
            let errors = log.lines().filter(|line| line.contains("level=error"));
            format!("{failure}\n{}", errors.collect::<Vec<_>>().join("\n"))
        };
        asked(method, request).map_err(told).unwrap()
    }

    /// Runs a pod that publishes ports, as protocol, host's and container's port.
    fn run(&self, name: &str, ports: &[(u16, u16, u16)]) -> Pod {
        let metadata = Message::default()
            .text(1, name)
            .text(2, &format!("uid-{name}"))
            .text(3, "default");
        let mut config = Message::default().message(1, &metadata).text(2, name);
        for (protocol, host_port, port) in ports {
            let mapping = Message::default()
                .number(1, *protocol)
                .number(2, *port)
                .number(3, *host_port);
            config = config.message(5, &mapping);
        }
        let request = Message::default().message(1, &config);
        let id = self.call("RunPodSandbox", &request).texts(1)[0].clone();
        Pod { id, config }
    }

    /// Runs a container of a pod.
    fn serve(&self, pod: &Pod, command: &[&str]) {
        let image = Message::default().text(1, IMAGE);
        let metadata = Message::default().text(1, "server");
        let container = Message::default().message(1, &metadata).message(2, &image);
        let container = command
            .iter()
            .fold(container, |container, word| container.text(3, word));
        let request = Message::default()
            .text(1, &pod.id)
            .message(2, &container)
            .message(3, &pod.config);
        let id = self.call("CreateContainer", &request).texts(1)[0].clone();
        self.call("StartContainer", &Message::default().text(1, &id));
    }

    fn status(&self, pod: &Pod) -> Message {
        let request = Message::default().text(1, &pod.id).number(2, 1);
        self.call("PodSandboxStatus", &request)
    }

    fn addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let network = self.status(pod).messages(1)[0].messages(5)[0].clone();
        let more = network.messages(2).into_iter().flat_map(|ip| ip.texts(1));
        let all = network.texts(1).into_iter().chain(more);
        all.map(|ip| ip.parse().unwrap()).collect()
    }

    fn netns(&self, pod: &Pod) -> Netns {
        let info = self.status(pod).messages(2);
        let info = info
            .iter()
            .find(|entry| entry.texts(1) == ["info"])
            .unwrap();
        let info: Value = serde_json::from_str(&info.texts(2)[0]).unwrap();
        self.node.netns_of(info["pid"].as_u64().unwrap())
    }

    fn stop(&self, pod: &Pod) {
        self.call("StopPodSandbox", &Message::default().text(1, &pod.id));
    }

    fn remove(&self, pod: &Pod) {
        self.call("RemovePodSandbox", &Message::default().text(1, &pod.id));
    }

    fn end(&self, pod: &Pod) {
        self.stop(pod);
        self.remove(pod);
    }
}

/// Asserts that busybox's web server is what answers at `address`: it has no such file.
fn serves_http(from: &Netns, address: SocketAddr) {
    let mut stream = connect(from, address).unwrap();
    stream.write_all(b"GET /none HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

const PORTS: [(u16, u16, u16); 3] = [(TCP, 8080, 80), (UDP, 8080, 80), (TCP, 8081, 81)];

#[test]
fn a_pod_is_reached_from_everywhere_also_when_containerd_was_killed() {
    with_containerd(BRIDGE, |cri, daemon| {
        let host = cri.node.lab.host();
        let world = beyond(cri.node.lab);
        let (p1, p2) = (cri.run("p1", &PORTS), cri.run("p2", &[]));
        cri.serve(&p1, &["/bin/httpd", "-f", "-p", "81"]);
        let (one, two) = (cri.netns(&p1), cri.netns(&p2));
        let is_reached = || {
            for ip in cri.addresses(&p1) {
                let server = Server::of(&one, 82, ip.is_ipv6());
                for from in [host, &two] {
                    server.answers(from, SocketAddr::new(ip, 82));
                }
            }
            is_published(host, &[&world.netns, &two], &one, (8080, 80));
            for ip in HOST {
                let address = SocketAddr::new(ip.parse().unwrap(), 8081);
                serves_http(&world.netns, address);
            }
        };
        let addresses = cri.addresses(&p1);
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        is_reached();
        daemon.kill();
        is_published(host, &[&world.netns, &two], &one, (8080, 80));
        let daemon = cri.start();
        assert_eq!(cri.addresses(&p1), addresses);
        is_reached();
        drop((one, two));
        cri.stop(&p1);
        assert!(cri.node.ports().is_empty());
        // kubelet asks more than once.
        for pod in [&p1, &p1, &p2] {
            cri.stop(pod);
        }
        for pod in [&p1, &p2] {
            cri.remove(pod);
        }
        cri.node.is_clean();
        daemon.kill();
    });
}

#[test]
fn twenty_pods_start_and_end_at_once() {
    with_containerd(BRIDGE, |cri, daemon| {
        let pods: Vec<Pod> = thread::scope(|scope| {
            let run = |port: u16| {
                let ports = [(TCP, port, 80), (UDP, port, 80)];
                scope.spawn(move || cri.run(&format!("p{port}"), &ports))
            };
            let running: Vec<_> = (9000..9020).map(run).collect();
            let pods = running.into_iter();
            pods.map(|pod| pod.join().unwrap()).collect()
        });
        let addresses: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| cri.addresses(pod)).collect();
        assert_eq!((addresses.len(), cri.node.leases().len()), (40, 40));
        for (pod, port) in pods.iter().zip(9000..) {
            let server = Server::of(&cri.netns(pod), 80, false);
            server.answers(
                cri.node.lab.host(),
                SocketAddr::new([127, 0, 0, 1].into(), port),
            );
        }
        thread::scope(|scope| {
            for pod in &pods {
                scope.spawn(move || cri.end(pod));
            }
        });
        cri.node.is_clean();
        daemon.kill();
    });
}

/// There is one address of each family, so that the second pod has what the first had: the port, and the addresses under
/// which everybody's neighbour table has the first one's hardware.
#[test]
fn a_pod_that_comes_in_anothers_place_is_reached_at_once() {
    let mut list: Value = serde_json::from_str(BRIDGE).unwrap();
    list["plugins"][0]["ipam"]["ranges"] = json!([
        [{ "subnet": "10.88.0.0/16", "rangeStart": "10.88.0.9", "rangeEnd": "10.88.0.9" }],
        [{ "subnet": "fd88::/64", "rangeStart": "fd88::9", "rangeEnd": "fd88::9" }],
    ]);
    with_containerd(&list.to_string(), |cri, daemon| {
        let world = beyond(cri.node.lab);
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let pod = cri.run("pod", &PORTS);
            let netns = cri.netns(&pod);
            seen.insert(cri.addresses(&pod));
            is_published(cri.node.lab.host(), &[&world.netns], &netns, (8080, 80));
            drop(netns);
            cri.end(&pod);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        cri.node.is_clean();
        daemon.kill();
    });
}

/// What a witness has noted, as plugin, interface and version: the loopback interface is attached beside the rest, so
/// they come in no order.
fn told(asked: &[Value], verb: &str) -> Vec<[String; 3]> {
    let mut told: Vec<_> = asked
        .iter()
        .map(|call| {
            assert_eq!(call["verb"], verb, "{call}");
            let version = &call["conf"]["cniVersion"];
            [&call["as"], &call["ifname"], version].map(|word| word.as_str().unwrap().to_owned())
        })
        .collect();
    told.sort();
    told
}

/// What docs/clients.md tells.
#[test]
fn containerd_asks_of_the_plugins_what_the_documentation_tells() {
    with_containerd(BRIDGE, |cri, daemon| {
        cri.node.witness(&["loopback", "bridge", "portmap"]);
        let pod = cri.run("p1", &PORTS);
        let added = cri.node.asked();
        cri.stop(&pod);
        let stopped = cri.node.asked();
        cri.remove(&pod);
        let removed = cri.node.asked();
        let all = [
            ["bridge", "eth0", "1.0.0"],
            ["loopback", "lo", "0.3.1"],
            ["portmap", "eth0", "1.0.0"],
        ];
        assert_eq!(told(&added, "ADD"), all);
        for asked in [&stopped, &removed] {
            assert_eq!(told(asked, "DEL"), all);
        }
        for call in added.iter().chain(&stopped).chain(&removed) {
            assert_eq!(call["container"], json!(pod.id));
            let args = call["args"].as_str().unwrap();
            let infra = format!("K8S_POD_INFRA_CONTAINER_ID={}", pod.id);
            for pair in [
                "IgnoreUnknown=1",
                "K8S_POD_NAMESPACE=default",
                "K8S_POD_NAME=p1",
                "K8S_POD_UID=uid-p1",
                &*infra,
            ] {
                assert!(args.split(';').any(|one| one == pair), "{args}");
            }
            let netns = call["netns"].as_str().unwrap();
            let is_removed = removed.contains(call);
            assert_eq!(
                netns.starts_with("/var/run/netns/cni-"),
                !is_removed,
                "{netns}"
            );
            // Keys in the case of Go's fields, and a result unless all is gone already.
            if call["as"] == "portmap" {
                let first = &call["conf"]["runtimeConfig"]["portMappings"][0];
                let mapping = json!({
                    "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "",
                });
                assert_eq!(first, &mapping);
                assert_eq!(call["conf"]["prevResult"].is_null(), is_removed);
            }
        }
        cri.node.is_clean();
        daemon.kill();
    });
}
