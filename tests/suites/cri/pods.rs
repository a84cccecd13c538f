//! Pods that are created, reached and removed.

use std::collections::BTreeSet;
use std::io::ErrorKind::{ConnectionRefused, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use linkspan_cli::traffic::{at, connect};
use linkspan_harness::server::{Server, is_published};
use linkspan_harness::skip;
use linkspan_harness::wait;
use linkspan_harness::world::{HOST, beyond};
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{BRIDGE, PORTS, Pod, TCP, UDP, UDP_ECHO, udp_echo, with_containerd};

/// The outcome of `attempt`, retried after refusals and lost replies: a container counts as started before its program
/// listens, and datagrams may be lost.
fn unless_refused<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    let is_early = |err: &io::Error| [ConnectionRefused, WouldBlock].contains(&err.kind());
    let in_time = || match attempt() {
        Err(err) if is_early(&err) => None,
        done => Some(done),
    };
    wait::some(in_time).unwrap_or_else(attempt).unwrap()
}

/// Asserts that busybox's web server answers at `address`, with an error for a missing file.
fn serves_http(from: &Netns, address: SocketAddr) {
    let mut stream = unless_refused(|| connect(from, address));
    stream.write_all(b"GET /none HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// Time limit for one datagram.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asserts that a datagram comes back from `address`.
fn echoes(from: &Netns, address: SocketAddr) {
    let client = at(from, || {
        UdpSocket::bind((Family::of(address.ip()).unspecified(), 0))
    })
    .unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4];
    let len = unless_refused(|| {
        client.send(b"echo")?;
        client.recv(&mut buffer)
    });
    assert_eq!(&buffer[..len], b"echo");
}

#[test]
fn a_pod_is_reached_from_everywhere_also_when_containerd_was_killed() {
    if !udp_echo().is_file() {
        skip::tell("what serves UDP is not built (cargo build -p linkspan --example udp-echo)");
        return;
    }
    with_containerd(BRIDGE, |cri, daemon| {
        let host = cri.node.lab.host();
        let world = beyond(cri.node.lab);
        let (p1, p2) = (cri.run("p1", &PORTS), cri.run("p2", &[]));
        cri.serve(&p1, &["/bin/httpd", "-f", "-p", "81"]);
        cri.serve(&p1, &[UDP_ECHO, "81"]);
        let (one, two) = (cri.netns(&p1), cri.netns(&p2));
        let is_reached = || {
            for ip in cri.addresses(&p1) {
                let server = Server::of(&one, 82, Family::of(ip));
                for from in [host, &two] {
                    server.answers(from, SocketAddr::new(ip, 82));
                    serves_http(from, SocketAddr::new(ip, 81));
                    echoes(from, SocketAddr::new(ip, 81));
                }
            }
            is_published(host, &[&world.netns, &two], &one, (8080, 80));
            for ip in HOST {
                let address = SocketAddr::new(ip.parse().unwrap(), 8081);
                serves_http(&world.netns, address);
                echoes(&world.netns, address);
            }
        };
        let addresses = cri.addresses(&p1);
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        is_reached();
        daemon.kill();
        is_published(host, &[&world.netns, &two], &one, (8080, 80));
        let daemon = cri.start();
        assert_eq!(cri.addresses(&p1), addresses);
        is_reached();
        drop((one, two));
        cri.stop(&p1);
        assert!(cri.node.ports().is_empty());
        // kubelet asks more than once.
        for pod in [&p1, &p1, &p2] {
            cri.stop(pod);
        }
        for pod in [&p1, &p2] {
            cri.remove(pod);
        }
        cri.node.is_clean();
        daemon.kill();
    });
}

#[test]
fn twenty_pods_start_and_end_at_once() {
    with_containerd(BRIDGE, |cri, daemon| {
        let pods: Vec<Pod> = thread::scope(|scope| {
            let run = |port: u16| {
                let ports = [(TCP, port, 80), (UDP, port, 80)];
                scope.spawn(move || cri.run(&format!("p{port}"), &ports))
            };
            let running: Vec<_> = (9000..9020).map(run).collect();
            let pods = running.into_iter();
            pods.map(|pod| pod.join().unwrap()).collect()
        });
        let addresses: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| cri.addresses(pod)).collect();
        assert_eq!((addresses.len(), cri.node.leases().len()), (40, 40));
        for (pod, port) in pods.iter().zip(9000..) {
            let server = Server::of(&cri.netns(pod), 80, Family::V4);
            server.answers(
                cri.node.lab.host(),
                SocketAddr::new([127, 0, 0, 1].into(), port),
            );
        }
        thread::scope(|scope| {
            for pod in &pods {
                scope.spawn(move || cri.end(pod));
            }
        });
        cri.node.is_clean();
        daemon.kill();
    });
}

/// There is one address of each family, so the second pod gets the first one's: the port, and addresses for which
/// neighbour tables have the first one's hardware address.
#[test]
fn a_pod_that_comes_in_anothers_place_is_reached_at_once() {
    let mut list: Value = serde_json::from_str(BRIDGE).unwrap();
    list["plugins"][0]["ipam"]["ranges"] = json!([
        [{ "subnet": "10.230.0.0/16", "rangeStart": "10.230.0.9", "rangeEnd": "10.230.0.9" }],
        [{ "subnet": "fd4c:7e2a:91b3::/64", "rangeStart": "fd4c:7e2a:91b3::9", "rangeEnd": "fd4c:7e2a:91b3::9" }],
    ]);
    with_containerd(&list.to_string(), |cri, daemon| {
        let world = beyond(cri.node.lab);
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let pod = cri.run("pod", &PORTS);
            let netns = cri.netns(&pod);
            seen.insert(cri.addresses(&pod));
            is_published(cri.node.lab.host(), &[&world.netns], &netns, (8080, 80));
            drop(netns);
            cri.end(&pod);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        cri.node.is_clean();
        daemon.kill();
    });
}

/// The users' annotations, and the burst that containerd adds. Both buckets go with the pod.
#[test]
fn a_pod_has_the_rates_of_its_annotations() {
    let mut list: Value = serde_json::from_str(BRIDGE).unwrap();
    let limits = json!({ "type": "bandwidth", "capabilities": { "bandwidth": true } });
    list["plugins"].as_array_mut().unwrap().push(limits);
    with_containerd(&list.to_string(), |cri, daemon| {
        let rtnl = cri.node.lab.rtnl();
        if let Err(err) = rtnl.create(&LinkSpec::new("probe", Kind::Ifb)) {
            skip::tell(&format!("rates of a pod: the kernel lacks a module: {err}"));
            return;
        }
        let probe = rtnl.link_by_name("probe").unwrap().unwrap();
        probe.delete().unwrap();
        let rates = [
            ["kubernetes.io/ingress-bandwidth", "8M"],
            ["kubernetes.io/egress-bandwidth", "16M"],
        ];
        let pod = cri.run_annotated("p1", &[], &rates);
        let links = rtnl.links().unwrap();
        let rate = |prefix: &str| {
            let link = links.iter().find(|link| link.name.starts_with(prefix));
            let root = link.unwrap().root_qdisc().unwrap();
            root.and_then(|root| root.bucket).map(|bucket| bucket.rate)
        };
        assert_eq!(rate("veth"), Some(1_000_000));
        assert_eq!(rate("bwp"), Some(2_000_000));
        cri.end(&pod);
        assert!(!cri.node.links().iter().any(|name| name.starts_with("bwp")));
        cri.node.is_clean();
        daemon.kill();
    });
}
