//! A node that switches from the Go plugins to ours and back, with pods on it, as in docs/clients.md.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::forks;
use linkspan_harness::lab::{PLUGINS, go_plugins};
use linkspan_harness::server::Server;
use linkspan_harness::skip;
use linkspan_harness::world::{HOST, WORLD, beyond};
use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{BRIDGE, Cri, TCP, UDP, with_containerd};

const IPTABLES: &str = include_str!("../../../conf-examples/bridge-iptables.conflist");

/// Puts the Go plugins into the directory, each by rename.
fn install_go(cri: &Cri<'_>, go: &Path) {
    for name in PLUGINS {
        let temporary = cri.node.bin().join("new");
        let copy = || fs::copy(go.join(name), &temporary);
        if forks::none(copy).is_ok() {
            fs::rename(&temporary, cri.node.bin().join(name)).unwrap();
        }
    }
}

/// The chains that the Go plugins make for containers.
fn go_chains() -> Vec<String> {
    let save = Call::new(&skip::without("iptables-save").unwrap()).run();
    let lines = save.succeeded().lines();
    let own = lines.filter(|line| {
        line.starts_with(":CNI-DN-") || line.starts_with(":CNI-") && line.len() > 30
    });
    own.map(str::to_owned).collect()
}

#[test]
fn a_node_goes_from_the_go_plugins_to_ours_and_back_with_pods_on_it() {
    let Some(go) = go_plugins("a node that changes its plugins") else {
        return;
    };
    if skip::without("iptables-save").is_none() {
        return;
    }
    // With one family only, since the Go plugins wait two seconds for duplicates of an IPv6 address.
    let mut list: Value = serde_json::from_str(BRIDGE).unwrap();
    list["plugins"][0]["ipam"]["ranges"] = json!([[{ "subnet": "10.230.0.0/16" }]]);
    with_containerd(&list.to_string(), |cri, daemon| {
        let host = cri.node.lab.host();
        let world = beyond(cri.node.lab);
        let is_reached = |pod: &Netns, port: u16| {
            let server = Server::of(pod, 80, Family::V4);
            for from in [host, &world.netns, pod] {
                server.answers(from, SocketAddr::new(HOST[0].parse().unwrap(), port));
            }
            let outside = SocketAddr::new(WORLD[0].parse().unwrap(), 80);
            let seen = Server::new(&world.netns, outside).answers(pod, outside);
            assert_eq!(seen.to_string(), HOST[0]);
        };
        install_go(cri, go);
        let old = cri.run("old", &[(TCP, 8080, 80), (UDP, 8080, 80)]);
        let old_netns = cri.netns(&old);
        is_reached(&old_netns, 8080);
        assert!(!go_chains().is_empty());

        let bin = cri.node.bin().to_str().unwrap();
        cri.node
            .lab
            .linkspan(&["install", "-p", bin])
            .run()
            .succeeded();
        let new = cri.run("new", &[(TCP, 9090, 80), (UDP, 9090, 80)]);
        let new_netns = cri.netns(&new);
        is_reached(&new_netns, 9090);
        is_reached(&old_netns, 8080);
        drop(old_netns);
        cri.end(&old);
        assert_eq!(go_chains(), [""; 0]);
        assert_eq!((cri.node.leases().len(), cri.node.ports().len()), (1, 2));

        // They cannot remove state from a packet filter that they do not know: the node must be drained first.
        install_go(cri, go);
        is_reached(&new_netns, 9090);
        drop(new_netns);
        assert!(cri.try_stop(&new).is_err());
        cri.node
            .lab
            .linkspan(&["install", "-p", bin])
            .run()
            .succeeded();
        cri.end(&new);
        cri.node.is_clean();
        daemon.kill();
    });
}

/// With the packet filter that both suites know, the node need not be drained.
#[test]
fn the_go_plugins_detach_what_ours_attached_in_iptables() {
    let Some(go) = go_plugins("a node that goes back") else {
        return;
    };
    if skip::without("iptables-save").is_none() {
        return;
    }
    with_containerd(IPTABLES, |cri, daemon| {
        let pod = cri.run("p1", &[(TCP, 8080, 80), (UDP, 8080, 80)]);
        assert!(!go_chains().is_empty());
        install_go(cri, go);
        cri.end(&pod);
        assert_eq!(go_chains(), [""; 0]);
        cri.node.is_clean();
        daemon.kill();
    });
}
