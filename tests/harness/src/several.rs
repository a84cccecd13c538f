//! The running example of docs/several-networks.md: a host on a LAN and a network for storage, and pods in both beside the
//! default network. The same client is beyond the router of each network.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use linkspan_cli::traffic::{at, tcp_through, udp_through};
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::call::Call;
use crate::conf::{addresses, in_lab_alone};
use crate::lab::{Lab, Sandbox};
use crate::world::{self, Cable, WORLD as CLIENT};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf-examples");

/// A network, with the interface that a pod gets for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: &'static str,
    /// Its file in `conf-examples`.
    pub file: &'static str,
    /// The interface.
    pub ifname: &'static str,
    /// The number of the host's card whose router leads to it.
    card: usize,
    /// An address beyond that router, to which the pod has a route by this network.
    beyond: [&'static str; 2],
}

/// The default network.
pub const DEFAULT: Network = Network {
    name: "linkspan",
    file: "bridge.conflist",
    ifname: "eth0",
    card: 0,
    beyond: ["203.0.113.9", "2001:db8:9::9"],
};

/// The LAN of the host.
pub const CAMPUS: Network = Network {
    name: "campus",
    file: "several-campus.conflist",
    ifname: "net1",
    card: 0,
    beyond: ["198.18.1.9", "2001:db8:18:1::9"],
};

/// The network for storage.
pub const STORAGE: Network = Network {
    name: "storage",
    file: "several-storage.conflist",
    ifname: "net2",
    card: 1,
    beyond: ["198.18.2.9", "2001:db8:18:2::9"],
};

/// The same by `ipvlan`.
pub const ARCHIVE: Network = Network {
    name: "archive",
    file: "several-ipvlan.conflist",
    ifname: "net2",
    card: 1,
    beyond: ["198.18.3.9", "2001:db8:18:3::9"],
};

/// Addresses of the host on its first card, and all that the routers have.
const HOST: [&str; 2] = ["10.118.0.2", "fda2::2"];
const ROUTERS: [&[&str]; 2] = [
    &["10.118.0.1", "fda2::1"],
    &["10.119.0.1", "fda3::1", "10.120.0.1", "fda4::1"],
];
const CARDS: [&str; 2] = ["eth0", "eth2"];
/// The subnets of the default network, behind the host.
const BEHIND: [(&str, u8); 2] = [("10.230.0.0", 16), ("fd4c:7e2a:91b3::", 64)];

/// The host with its networks.
#[derive(Debug)]
pub struct Several<'a> {
    lab: &'a Lab,
    routers: [Sandbox; 2],
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl<'a> Several<'a> {
    /// Makes cards and routers, and writes the lists.
    pub fn new(lab: &'a Lab) -> Self {
        let routers = [0, 1].map(|card| {
            let router = lab.sandbox();
            let near: &[&str] = if card == 0 { &HOST } else { &[] };
            let (name, bridge) = (CARDS[card], None);
            let far = ROUTERS[card];
            world::plug(
                lab,
                &router,
                Cable {
                    name,
                    bridge,
                    near,
                    far,
                },
            );
            let port = router.rtnl().link_by_name("eth0").unwrap().unwrap();
            let beyond = [DEFAULT, CAMPUS, STORAGE, ARCHIVE].map(|network| network.beyond);
            for address in beyond.iter().flatten().chain(&CLIENT) {
                world::add_address(&port, ip(address));
            }
            router
        });
        let card = lab.rtnl().link_by_name(CARDS[0]).unwrap().unwrap();
        let port = routers[0].rtnl().link_by_name("eth0").unwrap().unwrap();
        for ((gateway, host), (subnet, prefix)) in ROUTERS[0].iter().zip(HOST).zip(BEHIND) {
            let everywhere = Family::of(ip(gateway)).unspecified();
            let by = |gw: &str, route| RouteSpec {
                gw: Some(ip(gw)),
                ..route
            };
            card.add_route(&by(gateway, RouteSpec::to(everywhere, 0)))
                .unwrap();
            port.add_route(&by(host, RouteSpec::to(ip(subnet), prefix)))
                .unwrap();
        }
        let several = Self { lab, routers };
        fs::create_dir_all(several.lists()).unwrap();
        for network in [DEFAULT, CAMPUS, STORAGE, ARCHIVE] {
            let text = fs::read(Path::new(EXAMPLES).join(network.file)).unwrap();
            let list = in_lab_alone(lab, serde_json::from_slice(&text).unwrap());
            fs::write(several.lists().join(network.file), list.to_string()).unwrap();
        }
        several
    }

    fn lists(&self) -> PathBuf {
        self.lab.dir().join("several")
    }

    /// A run of `linkspan` on this host.
    pub fn call(&self, args: &[&str]) -> Call {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        self.lab
            .linkspan(args)
            .args(&["--cache-dir", &path(self.lab.dir().join("cache"))])
            .env("NETCONFPATH", &path(self.lists()))
            .env("CNI_PATH", &path(self.lab.bin()))
    }

    fn verb(&self, verb: &str, pod: (&str, &Sandbox), network: Network) -> Call {
        let (name, sandbox) = pod;
        let pod = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}");
        self.call(&[verb, network.name, &sandbox.path()])
            .args(&["--ifname", network.ifname, "--container-id", name])
            .env("CNI_ARGS", &pod)
    }

    /// Attaches a pod of that name. Returns the result.
    pub fn add(&self, pod: (&str, &Sandbox), network: Network) -> Value {
        self.verb("add", pod, network).run().json()
    }

    /// The same with port 80 published as 8080.
    pub fn publish(&self, pod: (&str, &Sandbox), network: Network) -> Value {
        let ports = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
        let ports = json!({ "portMappings": ports }).to_string();
        let add = self.verb("add", pod, network).env("CAP_ARGS", &ports);
        add.run().json()
    }

    /// Asks for CHECK.
    pub fn check(&self, pod: (&str, &Sandbox), network: Network) {
        self.verb("check", pod, network).run().succeeded();
    }

    /// Detaches.
    pub fn del(&self, pod: (&str, &Sandbox), network: Network) {
        self.verb("del", pod, network).run().succeeded();
    }

    /// Sends a word from the client to each address of a result and back, and one from the pod to what is beyond the
    /// network's router. The client is the same in every network, so an answer that takes another way is lost.
    pub fn reach(&self, sandbox: &Sandbox, network: Network, result: &Value) {
        let router = &self.routers[network.card];
        let port = router.rtnl().link_by_name("eth0").unwrap().unwrap();
        for own in addresses(result) {
            let client = ip(Family::of(own).pick(CLIENT[0], CLIENT[1]));
            let through_host = network == DEFAULT;
            let host = ip(Family::of(own).pick(HOST[0], HOST[1]));
            port.replace_route(&RouteSpec {
                src: Some(client),
                gw: through_host.then_some(host),
                ..RouteSpec::to(own, Family::of(own).host_prefix())
            })
            .unwrap();
            let address = SocketAddr::new(own, 80);
            let tcp = at(&sandbox.netns, || TcpListener::bind(address)).unwrap();
            let udp = at(&sandbox.netns, || UdpSocket::bind(address)).unwrap();
            let lost = |err: &std::io::Error| format!("{own} of {}: {err}", network.name);
            let seen = tcp_through(&router.netns, &tcp, address);
            assert_eq!(seen.map_err(|err| lost(&err)).unwrap().ip(), client);
            let seen = udp_through(&router.netns, &udp, address);
            assert_eq!(seen.map_err(|err| lost(&err)).unwrap().ip(), client);
            self.leave(sandbox, network, own);
        }
    }

    /// A word from the pod to what is beyond the router.
    fn leave(&self, sandbox: &Sandbox, network: Network, own: IpAddr) {
        let beyond = ip(Family::of(own).pick(network.beyond[0], network.beyond[1]));
        let router = &self.routers[network.card];
        let address = SocketAddr::new(beyond, 0);
        let server = at(&router.netns, || TcpListener::bind(address)).unwrap();
        let seen = tcp_through(&sandbox.netns, &server, server.local_addr().unwrap()).unwrap();
        // The default network leaves by the host's own address.
        let host = ip(Family::of(own).pick(HOST[0], HOST[1]));
        let expected = if network == DEFAULT { host } else { own };
        assert_eq!(seen.ip(), expected, "{}", network.name);
    }
}
