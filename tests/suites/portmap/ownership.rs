//! Ownership of ports.

use std::path::Path;
use std::thread;

use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::table::elements;
use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, both, mapping};

fn on(host_ip: &str, protocol: &str) -> Value {
    let mut mapping = mapping(protocol, 8080);
    mapping["hostIP"] = json!(host_ip);
    json!([mapping])
}

#[test]
fn a_port_of_a_live_attachment_is_refused_and_its_owner_named() {
    in_lab(LINKSPAN, |lab| {
        let _first = Pod::published(lab, "first", &json!([mapping("tcp", 8080)]));
        let before = elements(lab);
        for (mappings, free) in [
            (json!([mapping("tcp", 8080)]), false),
            (json!([mapping("tcp", 9999), mapping("tcp", 8080)]), false),
            (on("10.1.0.1", "tcp"), false),
            (on("0.0.0.0", "tcp"), false),
            (on("::", "tcp"), false),
            (on("10.1.0.1", "udp"), true),
            (json!([mapping("udp", 8080)]), true),
            (json!([mapping("tcp", 8081)]), true),
        ] {
            let second = Pod::attach(lab, "second", &mappings);
            let masqueraded = elements(lab);
            let added = second.portmap(lab).verb("ADD").run();
            if free {
                added.succeeded();
            } else {
                let told = added.failed(999);
                let owner = "host port 8080/tcp is already published for container first, interface eth0, network net";
                assert!(told.contains(owner), "{mappings}: {told}");
                assert_eq!(elements(lab), masqueraded, "{mappings}");
            }
            second.detach(lab);
            assert_eq!(elements(lab), before, "{mappings}");
        }
        // Two addresses do not conflict, and neither conflicts with the other family.
        let on_one = Pod::attach(lab, "one", &on("10.1.0.1", "udp"));
        let on_two = Pod::attach(lab, "two", &on("192.0.2.1", "udp"));
        let six = Pod::attach(lab, "six", &on("::", "udp"));
        for pod in [&on_one, &on_two, &six] {
            pod.portmap(lab).add();
            pod.portmap(lab).check(&pod.result);
        }
    });
}

#[test]
fn a_port_of_a_dead_attachment_is_replaced() {
    in_lab(LINKSPAN, |lab| {
        let gone = Pod::published(lab, "gone", &both(8080));
        let addresses = gone.result["ips"].clone();
        // The container vanishes without a DEL.
        drop(gone.sandbox);
        let heir = Pod::published(lab, "heir", &json!([mapping("tcp", 8080)]));
        assert_ne!(heir.result["ips"], addresses);
        heir.portmap(lab).check(&heir.result);
        // All ports of the dead one are gone, its other port, too.
        let dead = elements(lab)
            .into_iter()
            .filter(|line| line.contains("net/gone/eth0") && line.contains(". 8080"));
        assert_eq!(dead.count(), 0);
    });
}

/// A path such as `/proc/PID/ns/net` goes with one process, and a path in another mount namespace is not visible here.
#[test]
fn a_port_stays_while_its_owner_may_live_whatever_is_at_the_path() {
    in_lab(LINKSPAN, |lab| {
        let ports = json!([mapping("tcp", 8080)]);
        let gone = || lab.linkspan(&["ports", "--json"]).run().json()[0]["gone"].clone();
        let heir = Pod::attach(lab, "heir", &ports);
        let refused = |id: &str| {
            let told = heir.portmap(lab).verb("ADD").run().failed(999);
            let owner = format!("already published for container {id},");
            assert!(told.contains(&owner), "{told}");
        };
        let living = Pod::attach(lab, "living", &ports);
        let path = Netns::open(Path::new(&living.sandbox.path())).unwrap();
        let path = Sandbox::new(path);
        living.portmap(lab).netns(&path.path()).add();
        drop(path);
        refused("living");
        assert_eq!(gone(), json!(false));
        living.detach(lab);

        let hidden = Pod::attach(lab, "hidden", &ports);
        let elsewhere = hidden.portmap(lab).under(&["unshare", "--mount"]);
        elsewhere.add();
        let del = hidden.portmap(lab).netns("");
        drop(hidden.sandbox);
        refused("hidden");
        assert_eq!(gone(), Value::Null);
        del.del();
        heir.portmap(lab).add();
    });
}

#[test]
fn adding_again_and_deleting_in_any_state_is_fine() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        let once = elements(lab);
        pod.portmap(lab).add();
        assert_eq!(elements(lab), once);
        // Other ports than before, of the same attachment and partly the same.
        pod.portmap_with(lab, &json!({ "runtimeConfig": { "portMappings": [mapping("tcp", 8080), mapping("tcp", 8082)] } }))
            .add();
        let ports = elements(lab);
        assert!(ports.iter().any(|line| line.contains("8082")), "{ports:?}");
        assert!(
            !ports.iter().any(|line| line.contains("udp . 8080")),
            "{ports:?}"
        );
        let over = json!({ "prevResult": null });
        for call in [
            pod.portmap_with(lab, &over).netns(""),
            pod.portmap_with(lab, &json!({ "prevResult": "malformed" })),
            pod.portmap(lab).netns("/nonexistent"),
        ] {
            pod.portmap(lab).add();
            thread::scope(|scope| {
                for _ in 0..3 {
                    let call = call.clone();
                    let netns = lab.host();
                    scope.spawn(move || {
                        netns
                            .scope(|| call.verb("DEL").run().succeeded().to_owned())
                            .unwrap()
                    });
                }
            });
            call.del();
            let left = elements(lab);
            assert!(!left.iter().any(|line| line.contains(". 80")), "{left:?}");
        }
        let never = Pod::attach(lab, "never", &both(9000));
        never.portmap(lab).del();
    });
}

/// The pod `id` on a second network, with the ports `mappings`.
fn on_second_network(lab: &Lab, id: &str, mappings: &Value) -> Pod {
    let over = json!({
        "name": "net2",
        "bridge": "br1",
        "ipam": host_local(lab, &["10.2.0.0/16", "fd00:2::/64"]),
    });
    Pod::attach_to(lab, id, bridge(lab, &over), mappings)
}

#[test]
fn one_container_on_two_networks_keeps_the_others_port() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        let second = on_second_network(lab, "pod", &both(8081));
        second.portmap(lab).add();
        second.portmap(lab).del();
        pod.portmap(lab).check(&pod.result);
    });
}

/// Engines ask for the ports of a container on each of its networks.
#[test]
fn a_port_of_one_container_leads_to_the_network_that_came_first() {
    in_lab(LINKSPAN, |lab| {
        let first = Pod::published(lab, "pod", &both(8080));
        let (tcp, udp, own) = (
            mapping("tcp", 8080),
            mapping("udp", 8080),
            mapping("tcp", 8081),
        );
        let second = on_second_network(lab, "pod", &json!([tcp, udp, own]));
        let before = elements(lab);
        for _ in 0..2 {
            second.portmap(lab).add();
            for pod in [&first, &second] {
                pod.portmap(lab).check(&pod.result);
            }
            let server = Server::of(&first.sandbox.netns, 80, Family::V4);
            server.answers(lab.host(), "127.0.0.1:8080".parse().unwrap());
        }
        // Ports that the first one lacks belong to the second.
        let owns = |line: &String| line.contains("tcp . 8081") && line.contains("net2/pod/eth0");
        assert!(elements(lab).iter().any(owns));
        second.portmap(lab).del();
        assert_eq!(elements(lab), before);
        second.portmap(lab).add();
        first.detach(lab);
        // The port is not published now, and CHECK reports it.
        let told = second
            .portmap(lab)
            .after(&second.result)
            .verb("CHECK")
            .run()
            .failed(999);
        assert!(told.contains("host port 8080/tcp"), "{told}");
        second.portmap(lab).add();
        second.portmap(lab).check(&second.result);
        // Another port of the container, or another container, still conflicts.
        let mut elsewhere = mapping("tcp", 8080);
        elsewhere["containerPort"] = json!(81);
        for (id, mappings) in [("pod", json!([elsewhere])), ("other", both(8080))] {
            let refused = Pod::attach(lab, id, &mappings);
            let told = refused.portmap(lab).verb("ADD").run().failed(999);
            assert!(
                told.contains(
                    "is already published for container pod, interface eth0, network net2"
                ),
                "{told}"
            );
        }
    });
}

#[test]
fn an_address_that_moves_to_another_container_takes_its_masquerade_along() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "ipMasq": true });
        let gone = Pod::attach_to(lab, "gone", bridge(lab, &over), &json!([]));
        // Its lease is removed, as by an operator who cleans up after a crash.
        std::fs::remove_dir_all(lab.leases()).unwrap();
        let heir = Pod::attach_to(lab, "heir", bridge(lab, &over), &json!([]));
        assert_eq!(heir.ip(Family::V4), gone.ip(Family::V4));
        heir.bridge(lab).check(&heir.result);
        gone.bridge(lab).netns("").del();
        heir.bridge(lab).check(&heir.result);
        let over = json!({ "prevResult": null });
        let bare = linkspan_harness::conf::with(heir.bridge.clone(), &over);
        heir.bridge(lab).conf(&bare).netns("").del();
        assert_eq!(elements(lab), [""; 0]);
    });
}

#[test]
fn an_address_that_moves_to_another_container_can_publish_again() {
    in_lab(LINKSPAN, |lab| {
        // It counts as alive, but its lease was removed.
        let old = Pod::published(lab, "old", &both(8080));
        std::fs::remove_dir_all(lab.leases()).unwrap();
        let heir = Pod::published(lab, "heir", &both(8081));
        assert_eq!(heir.ip(Family::V4), old.ip(Family::V4));
        heir.portmap(lab).check(&heir.result);
        old.portmap(lab).del();
        heir.portmap(lab).check(&heir.result);
    });
}

#[test]
fn many_at_once_lose_nothing() {
    in_lab(LINKSPAN, |lab| {
        let pods: Vec<_> = (0..40)
            .map(|n| Pod::attach(lab, &format!("p{n}"), &both(8000 + n)))
            .collect();
        let masqueraded = elements(lab);
        let all = |verb: &str| {
            let running: Vec<_> = pods
                .iter()
                .map(|pod| pod.portmap(lab).verb(verb).spawn())
                .collect();
            for run in running {
                run.wait().succeeded();
            }
        };
        all("ADD");
        all("CHECK");
        all("DEL");
        assert_eq!(elements(lab), masqueraded);
    });
}
