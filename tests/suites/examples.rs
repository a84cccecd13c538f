//! Every file of `conf-examples`, executed as it is but for the directory of its leases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use linkspan_cli::traffic::{at, tcp_through};
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
    // One file is about the others, and one is a template: the suite `cri` has containerd make a list of it.
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

fn install(lab: &Lab, dir: &Path, file: &str, mut list: Value) {
    for plugin in list["plugins"].as_array_mut().unwrap() {
        if let Some(ipam) = plugin.get_mut("ipam") {
            ipam["dataDir"] = json!(lab.leases());
        }
        if plugin["type"] == "host-device" {
            plugin["dataDir"] = json!(lab.dir().join("host-device"));
            let device = plugin["device"].as_str().unwrap();
            nic::make(lab, device, &[("192.0.2.1", 24)]);
        }
        if plugin["type"] == "host-reach" {
            plugin["dataDir"] = json!(lab.dir().join("host-reach"));
        }
        if plugin["type"] == "tuning" {
            plugin["dataDir"] = json!(lab.dir().join("tuning"));
        }
    }
    fs::write(dir.join(file), list.to_string()).unwrap();
}

#[test]
fn every_example_attaches_checks_and_detaches() {
    let lists = examples();
    assert!(lists.len() >= 6, "{lists:?}");
    in_lab(LINKSPAN, |lab| {
        // All of them lie in one directory, as they may on a node.
        let dir = lab.dir().join("net.d");
        fs::create_dir(&dir).unwrap();
        for (file, list) in &lists {
            install(lab, &dir, file, list.clone());
        }
        for (file, list) in &lists {
            // That one needs a server and a daemon: the suite `dhcp` has both.
            if list.to_string().contains("\"type\":\"dhcp\"") {
                continue;
            }
            let mut kinds = list["plugins"].as_array().unwrap().iter();
            let kind = |plugin: &Value| plugin["type"].as_str().unwrap().to_owned();
            if !kinds.all(|plugin| skip::can_attach(&lab.rtnl(), &kind(plugin))) {
                continue;
            }
            let has_vlan = list.to_string().contains("\"vlan\"");
            if has_vlan && !skip::has_bridge_vlans(&lab.rtnl()) {
                continue;
            }
            let by_iptables = list.to_string().contains("ackend\":\"iptables\"");
            if by_iptables && skip::without("iptables-restore").is_none() {
                continue;
            }
            execute(lab, &dir, file, list);
        }
    });
}

/// The port that is published by the lists that can.
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
        // A dummy leads nowhere, a tap device to a program, and into a VRF only sockets that are bound to it.
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

/// A datagram and a connection to each gateway, which `at` has.
fn reach_gateways(at: &Netns, sandbox: &Sandbox, result: &Value) {
    for gateway in gateways(result) {
        traffic::flows(&sandbox.netns, at, gateway);
    }
}

/// The same where the gateways are on the wire behind the master: the station there gets their addresses.
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
