//! Every file of `conf-examples`, executed unchanged except for the directory of its leases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use ipnetwork::IpNetwork;
use linkspan_cli::traffic::{at, tcp_through};
use linkspan_harness::conf::in_lab_alone;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::nic;
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_harness::world::{self, Cable};
use linkspan_netlink::link::{Kind, LinkSpec, Vlan};
use linkspan_netlink::netns::Netns;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf-examples");

/// The lists, by file name.
fn examples() -> Vec<(String, Value)> {
    let entries = fs::read_dir(EXAMPLES).unwrap();
    let about = fs::read_to_string(Path::new(EXAMPLES).join("README.md")).unwrap();
    // One file describes the others, and one is a template: the suite `cri` makes containerd generate a list from it.
    let paths = entries.map(|entry| entry.unwrap().path());
    let others = ["README.md", "containerd.template"];
    let paths = paths.filter(|path| !others.iter().any(|other| path.ends_with(other)));
    let mut lists: Vec<(String, Value)> = paths
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "conflist", "{}", path.display());
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                about.contains(&format!("`{name}`")),
                "README.md lacks {name}"
            );
            (
                name,
                serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
            )
        })
        .collect();
    lists.sort_by(|(a, _), (b, _)| a.cmp(b));
    lists
}

/// Networks that others take for granted on many machines.
const TAKEN: [(&str, &str); 11] = [
    ("10.96.0.0/12", "services of kubeadm"),
    ("10.42.0.0/16", "pods of k3s"),
    ("10.43.0.0/16", "services of k3s"),
    ("10.85.0.0/16", "the network that CRI-O comes with"),
    ("10.88.0.0/16", "podman"),
    ("10.89.0.0/16", "podman's further networks"),
    ("10.4.0.0/24", "nerdctl"),
    ("10.0.3.0/24", "LXC"),
    (
        "172.16.0.0/12",
        "Docker, whose first network is 172.17.0.0/16",
    ),
    ("192.168.0.0/16", "libvirt, Docker and homes"),
    ("169.254.0.0/16", "addresses of a link"),
];

/// Every subnet in a value, at any depth.
fn subnets(value: &Value, found: &mut Vec<IpNetwork>) {
    match value {
        Value::Object(keys) => {
            let subnet = keys.get("subnet").and_then(Value::as_str);
            found.extend(subnet.map(|subnet| subnet.parse::<IpNetwork>().unwrap()));
            keys.values().for_each(|value| subnets(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| subnets(value, found)),
        _ => {}
    }
}

fn meets(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

#[test]
fn no_example_has_the_addresses_of_another_or_of_what_is_usually_there() {
    let mut lists = examples();
    assert!(lists.len() > 20);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/own.conflist");
    let own = serde_json::from_slice(&fs::read(own).unwrap()).unwrap();
    lists.push(("own.conflist".to_owned(), own));
    let mut known: Vec<(IpNetwork, String)> = Vec::new();
    for (taken, whose) in TAKEN {
        known.push((taken.parse().unwrap(), whose.to_owned()));
    }
    for (file, list) in &lists {
        let mut found = Vec::new();
        subnets(list, &mut found);
        for subnet in &found {
            for (other, whose) in &known {
                assert!(
                    !meets(*subnet, *other),
                    "{file}: {subnet} is that of {whose}"
                );
            }
            if subnet.is_ipv6() {
                // Unique local addresses alone (RFC 4193).
                let local: IpNetwork = "fc00::/7".parse().unwrap();
                assert!(meets(*subnet, local), "{file}: {subnet}");
            }
        }
        known.extend(found.into_iter().map(|subnet| (subnet, file.clone())));
    }
}

fn install(lab: &Lab, dir: &Path, file: &str, list: Value) {
    for plugin in list["plugins"].as_array().unwrap() {
        if plugin["type"] == "host-device" {
            let device = plugin["device"].as_str().unwrap();
            nic::make(lab, device, &[("192.0.2.1", 24)]);
        }
    }
    let list = in_lab_alone(lab, list);
    fs::write(dir.join(file), list.to_string()).unwrap();
}

/// The kinds of links that many machines' kernels lack.
const RARE: [&str; 4] = ["dummy", "ipvlan", "vlan", "vrf"];

fn is_rare(list: &Value) -> bool {
    let mut plugins = list["plugins"].as_array().unwrap().iter();
    plugins.any(|plugin| {
        let kind = plugin["type"].as_str().unwrap();
        RARE.contains(&kind) || !plugin["vlan"].is_null()
    })
}

#[test]
fn every_example_attaches_checks_and_detaches() {
    attach_all(|list| !is_rare(list));
}

#[test]
fn every_example_of_a_rare_kind_attaches_checks_and_detaches() {
    attach_all(is_rare);
}

fn attach_all(wanted: fn(&Value) -> bool) {
    let lists = examples();
    assert!(lists.iter().filter(|(_, list)| wanted(list)).count() >= 6);
    in_lab(LINKSPAN, |lab| {
        // All of them are in one directory, as they may be on a node.
        let dir = lab.dir().join("net.d");
        fs::create_dir(&dir).unwrap();
        for (file, list) in &lists {
            install(lab, &dir, file, list.clone());
        }
        for (file, list) in lists.iter().filter(|(_, list)| wanted(list)) {
            if can_execute(lab, list) {
                execute(lab, &dir, file, list);
            }
        }
    });
}

fn can_execute(lab: &Lab, list: &Value) -> bool {
    // The list needs a server and a daemon: the suite `dhcp` has both.
    if list.to_string().contains("\"type\":\"dhcp\"") {
        return false;
    }
    let mut kinds = list["plugins"].as_array().unwrap().iter();
    let kind = |plugin: &Value| plugin["type"].as_str().unwrap().to_owned();
    if !kinds.all(|plugin| skip::can_attach(&lab.rtnl(), &kind(plugin))) {
        return false;
    }
    let has_vlan = list.to_string().contains("\"vlan\"");
    if has_vlan && !skip::has_bridge_vlans(&lab.rtnl()) {
        return false;
    }
    let by_iptables = list.to_string().contains("ackend\":\"iptables\"");
    !by_iptables || skip::without("iptables-restore").is_some()
}

/// The port that lists publish, if they can.
const HOST_PORT: u16 = 8080;

fn execute(lab: &Lab, dir: &Path, file: &str, list: &Value) {
    let sandbox = lab.sandbox();
    let wire = list["plugins"][0]["master"].as_str().map(|name| {
        let far = lab.sandbox();
        let (near, ends) = (&[], &[]);
        let bridge = None;
        world::plug(
            lab,
            &far,
            Cable {
                name,
                bridge,
                near,
                far: ends,
            },
        );
        (name, far)
    });
    let ifname = match list["plugins"][0]["type"].as_str().unwrap() {
        "loopback" => "lo",
        _ => "eth0",
    };
    let before = Snapshot::of_host(lab);
    let run = |verb: &str| {
        let cache = lab.dir().join("cache");
        lab.linkspan(&[verb, list["name"].as_str().unwrap(), &sandbox.path()])
            .args(&["--ifname", ifname, "--cache-dir", cache.to_str().unwrap()])
            .env("NETCONFPATH", dir.to_str().unwrap())
            .env("CNI_PATH", lab.bin().to_str().unwrap())
            .env("CAP_ARGS", &json!({ "portMappings": [{ "hostPort": HOST_PORT, "containerPort": 80, "protocol": "tcp" }] }).to_string())
            .run()
    };
    let result = run("add").json();
    let newest = list["cniVersions"].as_array().and_then(|all| all.last());
    assert_eq!(
        &result["cniVersion"],
        newest.unwrap_or(&list["cniVersion"]),
        "{file}"
    );
    let link = sandbox.rtnl().link_by_name(ifname).unwrap();
    assert!(link.unwrap().up, "{file}");
    let plugins = list["plugins"].as_array().unwrap().iter();
    let mut kinds = plugins.filter_map(|plugin| plugin["type"].as_str());
    match &wire {
        Some((_, far)) => {
            let vlan = list["plugins"][0]["vlanId"].as_u64();
            answer_as_gateways(far, vlan, &sandbox, &result);
        }
        // A dummy drops packets, a tap device gives them to a program, and only sockets bound to a VRF use it.
        None if kinds.any(|kind| ["dummy", "tap", "vrf"].contains(&kind)) => {}
        None => reach_gateways(lab.host(), &sandbox, &result),
    }
    let chained = list["plugins"].as_array().unwrap().iter();
    if chained.clone().any(|plugin| plugin["type"] == "portmap") {
        reach_port(lab, &sandbox);
    }
    run("check").succeeded();
    run("del").succeeded();
    if let Some(bridge) = list["plugins"][0]["bridge"].as_str() {
        let gateway = format!("{bridge}.{}", list["plugins"][0]["vlan"]);
        for name in [bridge, &gateway] {
            let link = lab.rtnl().link_by_name(name).unwrap();
            link.inspect(|link| link.delete().unwrap());
        }
    }
    assert_eq!(Snapshot::of_host(lab), before, "{file}");
    if let Some((name, _)) = wire {
        let master = lab.rtnl().link_by_name(name).unwrap();
        master.unwrap().delete().unwrap();
    }
}

/// A connection to the published port, from the host itself.
fn reach_port(lab: &Lab, sandbox: &Sandbox) {
    let listen = || TcpListener::bind("0.0.0.0:80");
    let listener = at(&sandbox.netns, listen).unwrap();
    let port = SocketAddr::from(([127, 0, 0, 1], HOST_PORT));
    tcp_through(lab.host(), &listener, port).unwrap();
}

/// The gateways of a result.
fn gateways(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"].as_array().into_iter().flatten();
    let gateways = ips.filter_map(|ip| ip["gateway"].as_str());
    gateways.map(|ip| ip.parse().unwrap()).collect()
}

/// A datagram and a connection to each gateway, which are in `at`.
fn reach_gateways(at: &Netns, sandbox: &Sandbox, result: &Value) {
    for gateway in gateways(result) {
        traffic::flows(&sandbox.netns, at, gateway);
    }
}

/// The same if the gateways are on the wire behind the master: the station there gets their addresses.
fn answer_as_gateways(far: &Sandbox, vlan: Option<u64>, sandbox: &Sandbox, result: &Value) {
    let link = |name: &str| far.rtnl().link_by_name(name).unwrap().unwrap();
    let mut port = link("eth0");
    if let Some(id) = vlan {
        let kind = Kind::Vlan(Vlan::of(id.try_into().unwrap()));
        port.create_child(&LinkSpec::new("tagged", kind)).unwrap();
        port = link("tagged");
        port.set_up().unwrap();
    }
    for gateway in gateways(result) {
        world::add_address(&port, gateway);
    }
    reach_gateways(&far.netns, sandbox, result);
}
