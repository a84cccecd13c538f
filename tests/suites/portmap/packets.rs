//! Packets to published ports from every kind of client.

use std::net::{IpAddr, SocketAddr};

use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::table::elements;
use linkspan_harness::world::{HOST, WORLD, add_address, another_node, beyond};
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{LINKSPAN, Pod, both};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_published_port_is_reached_from_everywhere_at_every_address_of_the_host() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let pod = Pod::published(lab, "pod", &both(8080));
        let neighbour = Pod::attach(lab, "neighbour", &json!([]));
        for family in Family::BOTH {
            let server = Server::of(&pod.sandbox.netns, 80, family);
            let node = ip(HOST[family.pick(0, 1)]);
            let gateway = ip(family.pick("10.1.0.1", "fd00:1::1"));
            let lo = ip(family.pick("127.0.0.1", "::1"));
            let at_port = |ip| SocketAddr::new(ip, 8080);
            // The server sees the world's own address.
            let seen = server.answers(&world.netns, at_port(node));
            assert_eq!(seen, ip(WORLD[family.pick(0, 1)]));
            // The host, by every address of its own.
            for address in [node, gateway, lo] {
                server.answers(lab.host(), at_port(address));
            }
            // The pod itself and its neighbour, who would otherwise get the answer from an unknown address.
            for asker in [&pod, &neighbour] {
                for address in [node, gateway] {
                    let seen = server.answers(&asker.sandbox.netns, at_port(address));
                    assert_eq!(seen, gateway, "{}", asker.id);
                }
            }
        }
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        server.answers(lab.host(), "127.0.0.2:8080".parse().unwrap());
        pod.detach(lab);
        server.is_spared(&world.netns, SocketAddr::new(ip(HOST[0]), 8080));
    });
}

#[test]
fn only_traffic_to_the_hosts_own_addresses_is_taken() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        // Another node, behind this host as seen from the world.
        let other = another_node(lab, &world);
        let pod = Pod::published(lab, "pod", &both(8080));
        let neighbour = Pod::attach(lab, "neighbour", &json!([]));
        for family in Family::BOTH {
            let server = Server::of(&pod.sandbox.netns, 80, family);
            let spared = [
                // Another node, a pod, an address in the world, and one without an owner.
                family.pick("198.51.100.2", "2001:db8:1::2"),
                &neighbour.ip(family).to_string(),
                WORLD[family.pick(0, 1)],
                family.pick("203.0.113.1", "2001:db8:ff::1"),
            ];
            for address in spared {
                let address = SocketAddr::new(ip(address), 8080);
                for from in [&world.netns, lab.host(), &neighbour.sandbox.netns] {
                    server.is_spared(from, address);
                }
            }
            // The other node's own service is reached through this host.
            let theirs = ip(family.pick("198.51.100.2", "2001:db8:1::2"));
            let theirs = SocketAddr::new(theirs, 8080);
            Server::new(&other.netns, theirs).answers(&world.netns, theirs);
        }
    });
}

#[test]
fn a_port_on_one_address_is_published_there_alone() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let on = |address: &str| {
            let mappings = both(8080);
            let mut mappings = mappings.as_array().unwrap().clone();
            for mapping in &mut mappings {
                mapping["hostIP"] = json!(address);
            }
            json!(mappings)
        };
        let up = lab.rtnl().link_by_name("up0").unwrap().unwrap();
        add_address(&up, ip("192.0.2.9"));
        add_address(&up, ip("2001:db8::9"));
        for (index, (here, elsewhere)) in
            [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9")]
                .into_iter()
                .enumerate()
        {
            let family = Family::BOTH[index];
            let pod = Pod::published(lab, &format!("pod{index}"), &on(here));
            let second = Pod::published(lab, &format!("second{index}"), &on(elsewhere));
            let servers = [
                Server::of(&pod.sandbox.netns, 80, family),
                Server::of(&second.sandbox.netns, 80, family),
            ];
            for (server, address) in servers.iter().zip([here, elsewhere]) {
                server.answers(&world.netns, SocketAddr::new(ip(address), 8080));
                server.answers(lab.host(), SocketAddr::new(ip(address), 8080));
            }
            let lo = ip(["127.0.0.1", "::1"][index]);
            servers[0].is_spared(lab.host(), SocketAddr::new(lo, 8080));
            pod.detach(lab);
            second.detach(lab);
        }
        // An address that the host lacks publishes nothing (CVE-2025-67499).
        let pod = Pod::published(lab, "far", &on("203.0.113.1"));
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        for from in [&world.netns, lab.host()] {
            server.is_spared(from, "203.0.113.1:8080".parse().unwrap());
            server.is_spared(from, "192.0.2.1:8080".parse().unwrap());
        }
        pod.detach(lab);
        // A loopback address is for the host alone.
        let pod = Pod::published(lab, "lo", &on("127.0.0.1"));
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        server.answers(lab.host(), "127.0.0.1:8080".parse().unwrap());
        server.is_spared(lab.host(), "127.0.0.2:8080".parse().unwrap());
        server.is_spared(&world.netns, "192.0.2.1:8080".parse().unwrap());
    });
}

#[test]
fn what_listens_on_the_loopback_address_stays_the_hosts_own() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let pod = Pod::published(lab, "pod", &both(8080));
        let private = Server::new(lab.host(), "127.0.0.1:9090".parse().unwrap());
        // Packets to 127.0.0.1 from the wire (CVE-2020-8558): the senders take that address off their own interface.
        for (sender, gateway) in [(&pod.sandbox, "10.1.0.1"), (&world, HOST[0])] {
            inject(sender, gateway);
            private.is_spared(&sender.netns, "127.0.0.1:9090".parse().unwrap());
        }
        for key in ["all", "br0", "up0", "default"] {
            let path = format!("/proc/sys/net/ipv4/conf/{key}/route_localnet");
            let value = lab.host().scope(|| std::fs::read_to_string(path)).unwrap();
            assert_eq!(value.unwrap().trim(), "0", "{key}");
        }
    });
}

/// Makes a namespace send its packets for 127.0.0.1 to `gateway`.
pub(crate) fn inject(sender: &Sandbox, gateway: &str) {
    let rtnl = sender.rtnl();
    let lo = rtnl.link_by_name("lo").unwrap().unwrap();
    lo.set_down().unwrap();
    let key = "/proc/sys/net/ipv4/conf/all/route_localnet";
    sender
        .netns
        .scope(|| std::fs::write(key, "1"))
        .unwrap()
        .unwrap();
    let eth0 = rtnl.link_by_name("eth0").unwrap().unwrap();
    eth0.add_route(&RouteSpec {
        gw: Some(ip(gateway)),
        ..RouteSpec::to(ip("127.0.0.0"), 8)
    })
    .unwrap();
}

#[test]
fn the_world_sees_the_host_and_the_neighbours_see_the_pod() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let pod = Pod::attach(lab, "pod", &json!([]));
        let neighbour = Pod::attach(lab, "neighbour", &json!([]));
        for family in Family::BOTH {
            let at = family.pick(0, 1);
            let out = SocketAddr::new(ip(WORLD[at]), 7000);
            let seen = Server::new(&world.netns, out).answers(&pod.sandbox.netns, out);
            assert_eq!(seen, ip(HOST[at]));
            let near = SocketAddr::new(neighbour.ip(family), 7000);
            let seen =
                Server::new(&neighbour.sandbox.netns, near).answers(&pod.sandbox.netns, near);
            assert_eq!(seen, pod.ip(family));
        }
        // Without masquerade the world has no route back.
        pod.bridge(lab).check(&pod.result);
        pod.detach(lab);
        assert_eq!(elements(lab), [""; 0]);
        // The network's shared state serves the remaining pods.
        neighbour.bridge(lab).check(&neighbour.result);
        let out = SocketAddr::new(ip(WORLD[0]), 7001);
        let seen = Server::new(&world.netns, out).answers(&neighbour.sandbox.netns, out);
        assert_eq!(seen, ip(HOST[0]));
    });
}

#[test]
fn masquerade_of_everybody_and_no_translation_at_all() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let pod = Pod::attach(lab, "pod", &both(8080));
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        let node = SocketAddr::new(ip(HOST[0]), 8080);
        let everybody = pod.portmap_with(lab, &json!({ "masqAll": true }));
        everybody.add();
        assert_eq!(server.answers(&world.netns, node), ip("10.1.0.1"));
        everybody.check(&pod.result);
        everybody.del();
        let plain = pod.portmap_with(lab, &json!({ "snat": false }));
        plain.add();
        assert_eq!(server.answers(&world.netns, node), ip(WORLD[0]));
        server.is_spared(lab.host(), "127.0.0.1:8080".parse().unwrap());
        plain.check(&pod.result);
        plain.del();
    });
}
