//! The pods beside the bystanders.

use std::net::SocketAddr;

use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::Lab;
use linkspan_harness::pod::{Pod, mapping};
use linkspan_harness::server::Server;
use linkspan_harness::skip;
use linkspan_harness::world::HOST;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::stage::Stage;

/// The number of ports of a pod.
const PORTS: usize = 50;

/// The way of publishing ports and masquerading pods.
pub(crate) struct Backend {
    /// Keys of the interface plugin and of portmap.
    keys: [Value; 2],
    environment: Vec<(&'static str, String)>,
}

/// The pods' published ports.
pub(crate) struct Pods {
    ports: Vec<u16>,
    special: Vec<Value>,
    backend: Backend,
    reachable: bool,
}

impl Backend {
    fn native() -> Self {
        Self {
            keys: [json!({}), json!({})],
            environment: Vec::new(),
        }
    }

    /// The system's iptables, where it is installed.
    pub(crate) fn iptables(lab: &Lab) -> Option<Self> {
        skip::without("iptables-restore")?;
        Some(Self::older(lab, "/usr/sbin:/sbin:/usr/bin:/bin".to_owned()))
    }

    /// The iptables on that PATH.
    pub(crate) fn older(lab: &Lab, path: String) -> Self {
        // By default the whole machine shares one lock.
        let lock = lab.dir().join("xtables.lock").display().to_string();
        Self {
            keys: [
                json!({ "ipMasqBackend": "iptables" }),
                json!({ "backend": "iptables" }),
            ],
            environment: vec![("PATH", path), ("XTABLES_LOCKFILE", lock)],
        }
    }
}

impl Pods {
    /// With both protocols, in both families and on every address of the host: the ports 20000 to 20199. Also 21000
    /// with UDP only, 21001 with TCP only, 21002 on the loopback addresses, 21003 on the address of the link to the
    /// world.
    pub(crate) fn usual() -> Self {
        let at = |address: &str, port| {
            ["tcp", "udp"]
                .map(|protocol| with(mapping(protocol, port), &json!({ "hostIP": address })))
        };
        let [v4, v6] = HOST;
        let on_one_address = [
            at("127.0.0.1", 21002),
            at("::1", 21002),
            at(v4, 21003),
            at(v6, 21003),
        ];
        let mut special = vec![mapping("udp", 21000), mapping("tcp", 21001)];
        special.extend(on_one_address.concat());
        Self {
            special,
            ..Self::of((20000..20200).collect())
        }
    }

    /// The same, if the host has no route to the pods.
    pub(crate) fn unreachable() -> Self {
        Self {
            reachable: false,
            ..Self::usual()
        }
    }

    /// These ports, with both protocols.
    pub(crate) fn of(ports: Vec<u16>) -> Self {
        Self {
            ports,
            special: Vec::new(),
            backend: Backend::native(),
            reachable: true,
        }
    }

    /// The same without some of the ports.
    pub(crate) fn without(mut self, taken: &[u16]) -> Self {
        self.ports.retain(|port| !taken.contains(port));
        self
    }

    pub(crate) fn by(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Attaches the pods, dual-stack, with portmap and masquerade, and verifies that the first port is published.
    pub(crate) fn attach(&self, stage: &Stage<'_>) -> Vec<Pod> {
        let mut mappings: Vec<Vec<Value>> = Vec::new();
        for some in self.ports.chunks(PORTS) {
            let both = |port| ["tcp", "udp"].map(|protocol| mapping(protocol, port));
            mappings.push(some.iter().flat_map(|port| both(*port)).collect());
        }
        mappings.push(self.special.clone());
        mappings.retain(|some| !some.is_empty());
        let pods = mappings.iter().enumerate();
        let pods: Vec<Pod> = pods
            .map(|(index, some)| self.pod(stage.lab, &format!("pod{index}"), &json!(some)))
            .collect();
        if self.reachable {
            self.is_published(stage, &pods[0]);
        }
        pods
    }

    fn pod(&self, lab: &Lab, id: &str, mappings: &Value) -> Pod {
        let Backend { keys, environment } = &self.backend;
        let over = with(json!({ "ipMasq": true, "hairpinMode": true }), &keys[0]);
        let mut pod = Pod::attach_in(lab, id, (bridge(lab, &over), mappings), environment);
        pod.portmap = with(pod.portmap, &keys[1]);
        pod.portmap(lab).add();
        pod
    }

    fn is_published(&self, stage: &Stage<'_>, pod: &Pod) {
        for family in Family::BOTH {
            let server = Server::of(&pod.sandbox.netns, 80, family);
            let node = HOST[family.pick(0, 1)].parse().unwrap();
            let node = SocketAddr::new(node, self.ports[0]);
            server.answers(stage.netns("world"), node);
        }
    }
}

pub(crate) fn detach(stage: &Stage<'_>, pods: &[Pod]) {
    for pod in pods {
        pod.detach(stage.lab);
    }
    assert_eq!(stage.lab.leased("net"), [""; 0]);
}
