//! containerd as kubelet uses it, from Debian and unmodified: pods over the gRPC of its CRI, a subject to a file.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod asked;
mod pods;
mod template;
mod upgrade;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use linkspan_harness::call::Running;
use linkspan_harness::grpc::{self, Message};
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::wait;
use linkspan_netlink::netns::Netns;
use serde_json::Value;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const TOOLS: [&str; 4] = ["containerd", "ctr", "runc", "busybox"];
const IMAGE: &str = "docker.io/library/sleeper:latest";

/// The network of README, as it is.
const BRIDGE: &str = include_str!("../../../conf-examples/bridge.conflist");

const DOCUMENTATION: &str = include_str!("../../../docs/clients.md");

/// Replaces only the parts that a test's node lacks: a registry, control groups, layers.
const CONTAINERD: &str = r#"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/sleeper:latest"
disable_cgroup = true
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"#;

/// The path in containers of the program from `bundle/examples/udp-echo.rs`.
const UDP_ECHO: &str = "/udp-echo";

/// Its path on this machine. cargo builds the examples before it runs all tests.
fn udp_echo() -> PathBuf {
    Path::new(LINKSPAN).with_file_name("examples/udp-echo")
}

/// The protocols of the CRI.
const TCP: u16 = 0;
const UDP: u16 = 1;

/// containerd on a node.
struct Cri<'a> {
    node: &'a Node<'a>,
}

/// A running pod.
struct Pod {
    id: String,
    config: Message,
}

fn with_containerd(network: &str, body: impl FnOnce(&Cri<'_>, Running) + Send) {
    in_node(LINKSPAN, As::Root, &TOOLS, |node| {
        fs::write(node.net_d().join("10-linkspan.conflist"), network).unwrap();
        fs::create_dir_all("/etc/containerd").unwrap();
        let (_, rest) = DOCUMENTATION.split_once("```toml\n").unwrap();
        let (documented, _) = rest.split_once("```").unwrap();
        let config = format!("{documented}{CONTAINERD}");
        fs::write("/etc/containerd/config.toml", config).unwrap();
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
        // containerd 2 uses its transfer service for that, which requires platforms for the snapshotter in its
        // configuration.
        let help = node.call("ctr", &["images", "import", "--help"]).run();
        let local: &[&str] = if help.succeeded().contains("--local") {
            &["--local"]
        } else {
            &[]
        };
        let import = [&import[..], local, &[image.to_str().unwrap()]].concat();
        node.call("ctr", &import).run().succeeded();
        // It looks for images at its start; otherwise much later.
        daemon.kill();
        let daemon = cri.start();
        body(&cri, daemon);
    });
}

/// The runtime service's answer.
fn asked(method: &str, request: &Message) -> Result<Message, String> {
    let socket = Path::new("/run/containerd/containerd.sock");
    let path = format!("/runtime.v1.RuntimeService/{method}");
    grpc::call(socket, &path, request)
}

impl Cri<'_> {
    /// Starts containerd, and waits until it and its network are ready.
    fn start(&self) -> Running {
        let daemon = self.node.daemon("containerd", &[]);
        let log = || fs::read_to_string(self.node.home().join("containerd.log")).unwrap();
        assert!(wait::so(Self::is_ready), "{}", log());
        daemon
    }

    fn is_ready() -> bool {
        let Ok(answer) = asked("Status", &Message::default()) else {
            return false;
        };
        let conditions = answer.messages(1)[0].messages(1);
        // containerd 2 reports outdated settings, too.
        ["RuntimeReady", "NetworkReady"].iter().all(|wanted| {
            let told = conditions.iter().find(|one| one.texts(1) == [*wanted]);
            told.is_some_and(|one| one.numbers(2) == [1])
        })
    }

    fn call(&self, method: &str, request: &Message) -> Message {
        self.try_call(method, request).unwrap()
    }

    fn try_call(&self, method: &str, request: &Message) -> Result<Message, String> {
        let told = |failure: String| {
            let log = fs::read_to_string(self.node.home().join("containerd.log")).unwrap();
            let errors = log.lines().filter(|line| line.contains("level=error"));
            format!("{failure}\n{}", errors.collect::<Vec<_>>().join("\n"))
        };
        asked(method, request).map_err(told)
    }

    /// Runs a pod with published ports, as protocol, host's and container's port.
    fn run(&self, name: &str, ports: &[(u16, u16, u16)]) -> Pod {
        self.run_annotated(name, ports, &[])
    }

    /// The same, with annotations.
    fn run_annotated(
        &self,
        name: &str,
        ports: &[(u16, u16, u16)],
        annotations: &[[&str; 2]],
    ) -> Pod {
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
        for [key, value] in annotations {
            config = config.message(7, &Message::default().text(1, key).text(2, value));
        }
        let request = Message::default().message(1, &config);
        let id = self.call("RunPodSandbox", &request).texts(1)[0].clone();
        Pod { id, config }
    }

    /// Runs a program as a pod's container; the container has [`UDP_ECHO`] in addition to the image.
    fn serve(&self, pod: &Pod, command: &[&str]) {
        let image = Message::default().text(1, IMAGE);
        let metadata = Message::default().text(1, command[0].trim_start_matches('/'));
        let mount = Message::default()
            .text(1, UDP_ECHO)
            .text(2, udp_echo().to_str().unwrap());
        let container = Message::default()
            .message(1, &metadata)
            .message(2, &image)
            .message(7, &mount);
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

    fn try_stop(&self, pod: &Pod) -> Result<Message, String> {
        self.try_call("StopPodSandbox", &Message::default().text(1, &pod.id))
    }

    fn stop(&self, pod: &Pod) {
        self.try_stop(pod).unwrap();
    }

    fn remove(&self, pod: &Pod) {
        self.call("RemovePodSandbox", &Message::default().text(1, &pod.id));
    }

    fn end(&self, pod: &Pod) {
        self.stop(pod);
        self.remove(pod);
    }
}

const PORTS: [(u16, u16, u16); 4] = [
    (TCP, 8080, 80),
    (UDP, 8080, 80),
    (TCP, 8081, 81),
    (UDP, 8081, 81),
];
