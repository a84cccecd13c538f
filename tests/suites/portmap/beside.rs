//! Ports outside of our table: those of the Go suite, and ours of the backend `iptables`.

use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::thorough::sample;
use linkspan_harness::tool::{iptables_rules, nft, ruleset};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::others::{OTHERS, Other};
use crate::{LINKSPAN, Pod, mapping};
use linkspan_harness::table::elements;

fn on(host_ip: &str, protocol: &str, port: u16) -> Value {
    let mut mapping = mapping(protocol, port);
    mapping["hostIP"] = json!(host_ip);
    mapping
}

/// The first pod's ports: one on all addresses with two protocols, and one on a single address.
fn three() -> Value {
    json!([
        mapping("tcp", 8080),
        mapping("udp", 8080),
        on("127.0.0.1", "tcp", 8081)
    ])
}

/// An everyday run tries one of so many ports beside each other, and others beside the next.
const SELDOM: usize = 3;

/// The whole content of every packet filter.
fn filters() -> (Option<String>, Vec<String>) {
    (ruleset(), iptables_rules("CNI-"))
}

#[test]
fn a_port_that_others_publish_is_refused_with_its_owner() {
    in_lab(LINKSPAN, |lab| {
        // The host's shared state exists.
        Pod::published(lab, "warm", &json!([mapping("tcp", 9)])).detach(lab);
        for (nth, other) in OTHERS.into_iter().enumerate() {
            let Some(first) = other.publish(lab, "first", &three()) else {
                continue;
            };
            let wanted = [
                (json!([mapping("tcp", 8080)]), "8080/tcp"),
                (
                    json!([mapping("udp", 9999), mapping("udp", 8080)]),
                    "8080/udp",
                ),
                (json!([on("192.0.2.1", "tcp", 8080)]), "8080/tcp"),
                (json!([on("::", "tcp", 8080)]), "8080/tcp"),
                (json!([on("127.0.0.1", "tcp", 8081)]), "8081/tcp"),
                (json!([mapping("tcp", 8081)]), "8081/tcp"),
            ];
            for (wanted, port) in sample(wanted.into_iter(), nth, SELDOM) {
                let second = Pod::attach(lab, "second", &wanted);
                let before = (filters(), Snapshot::of_host(lab));
                let told = second.portmap(lab).verb("ADD").run().failed(999);
                let network = if other == Other::NewerGo {
                    ""
                } else {
                    ", network net"
                };
                let owner = format!(
                    "host port {port} is already published for container first{network} (backend {})",
                    other.backend()
                );
                assert!(told.contains(&owner), "{other:?} {wanted}: {told}");
                let after = (filters(), Snapshot::of_host(lab));
                assert_eq!(after, before, "{other:?} {wanted}");
                second.bridge(lab).del();
            }
            // A single address conflicts neither with another one nor with the other family, though iptables' shared
            // chain names the port in both.
            let wanted = [
                on("192.0.2.1", "tcp", 8081),
                on("::1", "tcp", 8081),
                mapping("udp", 8081),
                mapping("sctp", 8080),
                mapping("tcp", 808),
            ];
            for wanted in sample(wanted.into_iter(), nth, SELDOM) {
                let before = filters().1;
                let second = Pod::published(lab, "second", &json!([wanted]));
                assert_eq!(filters().1, before, "{other:?}");
                second.detach(lab);
            }
            first.detach(lab);
            let second = Pod::published(lab, "second", &three());
            second.portmap(lab).check(&second.result);
            second.detach(lab);
        }
    });
}

#[test]
fn rules_of_the_container_itself_make_room() {
    in_lab(LINKSPAN, |lab| {
        for other in OTHERS {
            let Some(pod) = other.publish(lab, "pod", &three()) else {
                continue;
            };
            pod.portmap(lab).add();
            let left = |text: &str| ruleset().unwrap_or_default().matches(text).count();
            assert_eq!(iptables_rules("CNI-DN-"), [""; 0], "{other:?}");
            assert_eq!(left("comment \"pod\""), 0, "{other:?}");
            pod.portmap(lab).check(&pod.result);
            let listed = lab.linkspan(&["ports", "--json"]).run().json();
            let all = listed.as_array().unwrap();
            assert_eq!(all.len(), 5, "{other:?} {listed}");
            assert!(all.iter().all(|port| port["backend"] == "nftables"));
            pod.detach(lab);
        }
    });
}

#[test]
fn a_container_has_its_port_once_on_two_networks() {
    in_lab(LINKSPAN, |lab| {
        for other in [Other::Ours { legacy: false }, Other::Ours { legacy: true }] {
            let one = json!([mapping("tcp", 8080)]);
            let Some(first) = other.publish(lab, "pod", &one) else {
                continue;
            };
            let before = filters().1;
            let ipam = host_local(lab, &["10.2.0.0/16", "fd00:2::/64"]);
            let over = json!({ "name": "net2", "bridge": "br1", "ipam": ipam });
            let mut second = Pod::attach_to(lab, "pod", bridge(lab, &over), &one);
            second.portmap(lab).add();
            assert_eq!(filters().1, before, "{other:?}");
            second.portmap(lab).del();
            let to = &mut second.portmap["runtimeConfig"]["portMappings"][0]["containerPort"];
            *to = json!(81);
            let told = second.portmap(lab).verb("ADD").run().failed(999);
            assert!(told.contains("container pod, network net "), "{told}");
            second.detach(lab);
            first.detach(lab);
        }
    });
}

#[test]
fn a_port_of_a_container_that_is_gone_is_free() {
    in_lab(LINKSPAN, |lab| {
        for other in OTHERS {
            // Another attachment has its address now: IPAM has given the only one.
            let Some(first) = other.publish(lab, "first", &three()) else {
                continue;
            };
            let [four, six] = Family::BOTH.map(|family| first.ip(family).to_string());
            first.bridge(lab).del();
            let range = |subnet: &str, ip: &str| json!([{ "subnet": subnet, "rangeStart": ip, "rangeEnd": ip }]);
            let mut ipam = host_local(lab, &[]);
            ipam["ranges"] = json!([range("10.1.0.0/16", &four), range("fd00:1::/64", &six)]);
            let over = json!({ "ipam": ipam });
            let heir = Pod::attach_to(
                lab,
                "heir",
                bridge(lab, &over),
                &json!([mapping("tcp", 8080)]),
            );
            assert_eq!(
                (
                    heir.ip(Family::V4).to_string(),
                    heir.ip(Family::V6).to_string()
                ),
                (four, six)
            );
            heir.portmap(lab).add();
            heir.portmap(lab).check(&heir.result);
            assert_eq!(iptables_rules("CNI-DN-"), [""; 0], "{other:?}");
            heir.detach(lab);
            first.detach(lab);

            // Its network does not exist any more.
            let Some(first) = other.publish(lab, "first", &three()) else {
                continue;
            };
            let lost = lab.rtnl().link_by_name("br0").unwrap().unwrap();
            lost.delete().unwrap();
            let listed = lab.linkspan(&["ports", "--json"]).run().json();
            let all = listed.as_array().unwrap();
            assert!(
                all.iter().all(|port| port["gone"] == json!(true)),
                "{listed}"
            );
            let ipam = host_local(lab, &["10.2.0.0/16", "fd00:2::/64"]);
            let over = json!({ "name": "net2", "bridge": "br2", "ipam": ipam });
            let heir = Pod::attach_to(lab, "heir", bridge(lab, &over), &three());
            heir.portmap(lab).add();
            heir.portmap(lab).check(&heir.result);
            assert_eq!(iptables_rules("CNI-DN-"), [""; 0], "{other:?}");
            let listed = lab.linkspan(&["ports", "--json"]).run().json();
            let all = listed.as_array().unwrap();
            let ours = |port: &&Value| port["backend"] == "nftables";
            assert_eq!(
                (all.len(), all.iter().filter(ours).count()),
                (5, 5),
                "{listed}"
            );
            heir.detach(lab);
            first.detach(lab);
        }
    });
}

#[test]
fn the_hint_gives_back_the_port_of_one_that_nobody_detached() {
    in_lab(LINKSPAN, |lab| {
        for other in OTHERS {
            let one = json!([on("0.0.0.0", "tcp", 8080)]);
            let Some(first) = other.publish(lab, "first", &json!([on("127.0.0.1", "tcp", 8080)]))
            else {
                continue;
            };
            let second = Pod::attach(lab, "second", &one);
            let told = second.portmap(lab).verb("ADD").run().failed(999);
            let (_, hint) = told.split_once("if it is gone, `").unwrap();
            let (command, _) = hint.split_once('`').unwrap();
            if let Some(rule) = command.strip_prefix("nft ") {
                nft(&[rule]);
            } else {
                assert_eq!(command, "linkspan gc net");
                let valid = json!({ "cni.dev/valid-attachments": [] });
                let gc = second.portmap_with(lab, &valid).verb("GC");
                gc.run().succeeded();
            }
            second.portmap(lab).add();
            second.detach(lab);
            first.detach(lab);
        }
    });
}

#[test]
fn every_backend_is_listed() {
    in_lab(LINKSPAN, |lab| {
        assert_eq!(elements(lab), [""; 0]);
        for other in OTHERS {
            let Some(pod) = other.publish(lab, "pod", &three()) else {
                continue;
            };
            let listed = lab.linkspan(&["ports", "--json"]).run().json();
            let expected = |protocol: &str, host: (&str, u16), family: Family| {
                json!({
                    "backend": other.backend(),
                    "protocol": protocol,
                    "hostIP": host.0,
                    "hostPort": host.1,
                    "containerIP": pod.ip(family).to_string(),
                    "containerPort": 80,
                    "network": other.network(),
                    "container": "pod",
                    "interface": "",
                    "pod": null,
                    "podNamespace": null,
                    "state": "unknown",
                    "gone": null,
                    "listeners": [],
                })
            };
            let all = json!([
                expected("tcp", ("", 8080), Family::V4),
                expected("tcp", ("", 8080), Family::V6),
                expected("udp", ("", 8080), Family::V4),
                expected("udp", ("", 8080), Family::V6),
                expected("tcp", ("127.0.0.1", 8081), Family::V4),
            ]);
            assert_eq!(listed, all, "{other:?}");
            let table = lab.linkspan(&["ports"]).run();
            let lines: Vec<Vec<&str>> = table
                .succeeded()
                .lines()
                .map(|line| line.split_whitespace().collect())
                .collect();
            assert_eq!(lines[0].last(), Some(&"BACKEND"));
            let four = format!("{}:80", pod.ip(Family::V4));
            let network = match other.network() {
                "" => "-",
                network => network,
            };
            let row = [
                "127.0.0.1",
                "8081/tcp",
                &four,
                network,
                "pod",
                "-",
                "-",
                "unknown",
                other.backend(),
            ];
            // None of it is ours, so `clear` would remove nothing.
            assert_eq!((&*lines[5], lines.len()), (&row[..], 6), "{other:?}");
            pod.detach(lab);
            assert_eq!(lab.linkspan(&["ports", "--json"]).run().json(), json!([]));
        }
    });
}
