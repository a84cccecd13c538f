//! Packets: reachability with each backend and in both families.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use linkspan_cli::traffic::{at, udp_through};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::tool::{older_iptables, tool};
use linkspan_harness::{figure, skip};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, NATIVE, OLDER, Pod, drop_by_default, is_kept_from, never_reaches, reaches};

#[test]
fn a_host_that_drops_lets_containers_through() {
    for kind in [NATIVE, OLDER] {
        in_lab(LINKSPAN, |lab| {
            if kind == OLDER && older_iptables(lab).is_none() || !drop_by_default(kind) {
                return;
            }
            let pods = [("a", 0), ("b", 1)]
                .map(|(id, number)| Pod::on_bridge(lab, id, number, &json!({})));
            let [a, b] = &pods;
            for ip in b.addresses() {
                never_reaches(&a.sandbox.netns, &b.sandbox.netns, ip);
            }
            for pod in &pods {
                pod.firewall(lab).add();
            }
            for ip in b.addresses() {
                reaches(&a.sandbox.netns, &b.sandbox.netns, ip);
            }
            for pod in &pods {
                pod.alone(lab).del();
            }
            for ip in b.addresses() {
                never_reaches(&a.sandbox.netns, &b.sandbox.netns, ip);
            }
        });
    }
}

#[test]
fn rules_of_the_administrator_win() {
    in_lab(LINKSPAN, |lab| {
        if !drop_by_default(NATIVE) {
            return;
        }
        let over = json!({ "iptablesAdminChainName": "NOMAD-ADMIN" });
        let [a, b] = [("a", 0), ("b", 1)].map(|(id, number)| Pod::new(lab, id, number, &over));
        let ip = b.addresses()[0];
        reaches(&a.sandbox.netns, &b.sandbox.netns, ip);
        let rule = [
            "-w",
            "-A",
            "NOMAD-ADMIN",
            "-d",
            &ip.to_string(),
            "-j",
            "DROP",
        ];
        tool("iptables-nft", &rule).unwrap();
        never_reaches(&a.sandbox.netns, &b.sandbox.netns, ip);
    });
}

/// The way of packets to the packet filter.
#[derive(Debug, Clone, Copy)]
struct World {
    /// The kind of iptables that is in use; none for our table alone.
    kind: Option<[&'static str; 2]>,
    /// Whether it sees bridged packets; `None` if the kernel cannot do that.
    bridge_netfilter: bool,
}

/// Sets up the world; returns false if that is impossible.
fn prepare(lab: &Lab, world: World) -> bool {
    if world.kind == Some(OLDER) && older_iptables(lab).is_none() {
        return false;
    }
    if !world.kind.is_none_or(drop_by_default) {
        return false;
    }
    for name in ["iptables", "ip6tables"] {
        let file = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        let word = if world.bridge_netfilter { "1" } else { "0" };
        if fs::write(file, word).is_err() && world.bridge_netfilter {
            skip::tell("no bridge netfilter (module br_netfilter)");
            return false;
        }
    }
    true
}

/// A test in each world. An ordinary user's test reruns as a whole for each laboratory, so each world has a separate
/// one.
macro_rules! in_each_world {
    ($(#[$doc:meta])* $name:ident, $test:expr) => {
        $(#[$doc])*
        mod $name {
            use super::*;

            #[test]
            fn with_our_table_alone() {
                in_world(None, false, $test);
            }

            #[test]
            fn with_our_table_and_bridge_netfilter() {
                in_world(None, true, $test);
            }

            #[test]
            fn with_iptables() {
                in_world(Some(NATIVE), false, $test);
            }

            #[test]
            fn with_iptables_and_bridge_netfilter() {
                in_world(Some(NATIVE), true, $test);
            }

            #[test]
            fn with_the_older_packet_filter() {
                in_world(Some(OLDER), false, $test);
            }

            #[test]
            fn with_the_older_packet_filter_and_bridge_netfilter() {
                in_world(Some(OLDER), true, $test);
            }
        }
    };
}

fn in_world(kind: Option<[&'static str; 2]>, bridge_netfilter: bool, test: fn(&Lab, World)) {
    in_lab(LINKSPAN, |lab| {
        let world = World {
            kind,
            bridge_netfilter,
        };
        if prepare(lab, world) {
            test(lab, world);
        }
    });
}

/// Publishes UDP port 8080 of the host as the pod's port 80. Returns the server there, in each family.
fn published(lab: &Lab, pod: &Pod) -> Vec<(UdpSocket, SocketAddr)> {
    let mapping = json!({ "hostPort": 8080, "containerPort": 80, "protocol": "udp" });
    let conf = json!({
        "cniVersion": "1.0.0",
        "name": pod.bridge["name"],
        "type": "portmap",
        "runtimeConfig": { "portMappings": [mapping] },
    });
    let call = lab.plugin("portmap").of(pod.id, &pod.sandbox);
    call.conf(&conf).after(&pod.result).add();
    let server = |ip: IpAddr| {
        let server = at(&pod.sandbox.netns, || UdpSocket::bind((ip, 80))).unwrap();
        // An address of the host that is not on a bridge with pods.
        let host = match Family::of(ip) {
            Family::V4 => "10.9.0.1:8080",
            Family::V6 => "[fd00:9::1]:8080",
        };
        (server, host.parse().unwrap())
    };
    pod.addresses().into_iter().map(server).collect()
}

/// A bridge without containers of ours, whose addresses are the host's.
fn uplink(lab: &Lab) -> Pod {
    Pod::on_bridge(lab, "uplink", 9, &json!({}))
}

/// Reachability under a policy: a neighbour on the bridge, and a pod on another bridge with the policy; each by
/// address and by the published port. The host and the world reach everything.
fn matrix(lab: &Lab, world: World, over: &Value, expected: [bool; 4]) {
    let outside = uplink(lab);
    outside.firewall(lab).add();
    let pods = [("server", 0), ("neighbour", 0), ("other", 1)];
    let [server, neighbour, other] = pods.map(|(id, number)| Pod::new(lab, id, number, over));
    for pod in [&server, &neighbour, &other] {
        pod.check(lab);
    }
    for (from, by_address) in [(&neighbour, expected[0]), (&other, expected[2])] {
        for ip in server.addresses() {
            if by_address {
                reaches(&from.sandbox.netns, &server.sandbox.netns, ip);
            } else {
                never_reaches(&from.sandbox.netns, &server.sandbox.netns, ip);
            }
        }
    }
    for ip in server.addresses() {
        reaches(lab.host(), &server.sandbox.netns, ip);
        reaches(&outside.sandbox.netns, &server.sandbox.netns, ip);
    }
    let servers = published(lab, &server);
    for (socket, address) in &servers {
        for (from, by_port) in [(&neighbour, expected[1]), (&other, expected[3])] {
            if by_port {
                let came = udp_through(&from.sandbox.netns, socket, *address);
                let is_through = came.is_ok();
                assert!(is_through, "{world:?} {over} {} {came:?}", from.id);
            } else {
                is_kept_from(&from.sandbox.netns, socket, *address);
            }
        }
        udp_through(&outside.sandbox.netns, socket, *address).unwrap();
    }
}

in_each_world!(open_keeps_nobody, |lab, world| {
    matrix(lab, world, &json!({}), [true; 4]);
});

in_each_world!(same_bridge_keeps_other_bridges, |lab, world| {
    let over = json!({ "ingressPolicy": "same-bridge" });
    matrix(lab, world, &over, [true, true, false, false]);
});

in_each_world!(isolated_keeps_the_neighbour, |lab, world| {
    let over = json!({ "ingressPolicy": "isolated" });
    matrix(lab, world, &over, [false; 4]);
});

in_each_world!(ports_of_same_bridge_stay_reachable, |lab, world| {
    let over = json!({ "ingressPolicy": "same-bridge", "allowPublished": true });
    matrix(lab, world, &over, [true, true, false, true]);
});

in_each_world!(ports_of_isolated_stay_reachable, |lab, world| {
    let over = json!({ "ingressPolicy": "isolated", "allowPublished": true });
    matrix(lab, world, &over, [false, true, false, true]);
});

in_each_world!(
    no_container_of_same_bridge_is_there_before_its_policy,
    |lab, world| {
        before_its_policy(lab, world, "same-bridge");
    }
);

in_each_world!(
    no_container_of_isolated_is_there_before_its_policy,
    |lab, world| {
        before_its_policy(lab, world, "isolated");
    }
);

/// The first container of a bridge, before the bridge's policy. Only the figure shows the duration.
fn unguarded(lab: &Lab, id: &'static str, number: usize, over: &Value) -> Pod {
    let pod = Pod::on_bridge(lab, id, number, over);
    let begun = Instant::now();
    pod.firewall(lab).add();
    let millis = begun.elapsed().as_secs_f64() * 1000.0;
    let policy = over["ingressPolicy"].as_str().unwrap();
    figure::tell(&format!(
        "{policy}: the first container of br{number} was without a policy for {millis:.1} ms, the later ones for 0"
    ));
    pod
}

/// The second container of a bridge is guarded after bridge, and before firewall is called.
fn before_its_policy(lab: &Lab, world: World, policy: &str) {
    let over = json!({ "ingressPolicy": policy });
    let uplink = uplink(lab);
    uplink.firewall(lab).add();
    let [first, other] =
        [("first", 0), ("other", 1)].map(|(id, number)| unguarded(lab, id, number, &over));
    let late = Pod::on_bridge(lab, "late", 0, &over);
    let bridge = lab.plugin("bridge").of("late", &late.sandbox);
    bridge.conf(&late.bridge).check(&late.result);
    let mut kept = vec![&other];
    if policy == "isolated" {
        kept.push(&first);
    }
    for other in kept {
        for (from, to) in [(&late, other), (other, &late)] {
            for ip in to.addresses() {
                never_reaches(&from.sandbox.netns, &to.sandbox.netns, ip);
            }
        }
    }
    if world.kind.is_none() {
        for ip in late.addresses() {
            reaches(&uplink.sandbox.netns, &late.sandbox.netns, ip);
        }
    }
}
