//! UDP flows: they follow the port that they were sent to, at the cost of one list of the kernel's.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use linkspan_cli::traffic::at;
use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::requests::requests;
use linkspan_harness::skip;
use linkspan_harness::world::{HOST, beyond};
use linkspan_netlink::netns::Netns;
use linkspan_nftables::conntrack::Flow;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, mapping};
use linkspan_protocol::family::Family;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bind(netns: &Netns, address: &str) -> UdpSocket {
    let address: SocketAddr = address.parse().unwrap();
    let socket = at(netns, || UdpSocket::bind(address)).unwrap();
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).unwrap();
    socket
}

/// The host as the world sees it.
fn node(port: u16) -> SocketAddr {
    SocketAddr::new(ip(HOST[0]), port)
}

/// The flows of UDP that the host tracks in one family.
fn flows(lab: &Lab, family: Family) -> Vec<Flow> {
    let netfilter = linkspan_harness::table::netfilter(lab);
    netfilter.flows(family, 17, |_| true).unwrap()
}

fn follows_the_port(lab: &Lab, backend: &str) {
    let world = beyond(lab);
    let by = |ports: &[u16]| {
        let mappings: Vec<Value> = ports.iter().map(|port| mapping("udp", *port)).collect();
        let ports = json!({ "runtimeConfig": { "portMappings": mappings } });
        with(ports, &json!({ "backend": backend }))
    };
    let first = Pod::attach(lab, "first", &json!([]));
    let second = Pod::attach(lab, "second", &json!([]));
    first.portmap_with(lab, &by(&[5353, 5354])).add();
    let client = bind(&world.netns, "192.0.2.2:4000");
    let bystander = bind(&world.netns, "192.0.2.2:4001");
    let servers = [&first, &second].map(|pod| bind(&pod.sandbox.netns, "0.0.0.0:80"));
    let reaches = |from: &UdpSocket, port, server: &UdpSocket| {
        from.send_to(b"x", node(port)).unwrap();
        server.recv_from(&mut [0; 4]).unwrap()
    };
    reaches(&client, 5353, &servers[0]);
    reaches(&bystander, 5354, &servers[0]);
    let seen = flows(lab, Family::V4);
    assert_eq!(seen.len(), 2, "{seen:?}");
    // The port moves to the second pod, and the client's next packet with it.
    first.portmap_with(lab, &by(&[5353, 5354])).del();
    assert_eq!(flows(lab, Family::V4), []);
    first.portmap_with(lab, &by(&[5354])).add();
    second.portmap_with(lab, &by(&[5353])).add();
    reaches(&client, 5353, &servers[1]);
    reaches(&bystander, 5354, &servers[0]);
    // And to the host, when the port is not published any more.
    second.portmap_with(lab, &by(&[5353])).del();
    let host = bind(lab.host(), "192.0.2.1:5353");
    reaches(&client, 5353, &host);
    // A flow that the host had before the port was published moves, too, and one of another port stays.
    drop(host);
    let stays = flows(lab, Family::V4);
    let stays = stays.iter().find(|flow| flow.destination.port() == 5354);
    second.portmap_with(lab, &by(&[5353])).add();
    reaches(&client, 5353, &servers[1]);
    assert!(flows(lab, Family::V4).contains(stays.unwrap()));
}

#[test]
fn a_flow_of_udp_follows_the_port_and_others_stay() {
    in_lab(LINKSPAN, |lab| follows_the_port(lab, "nftables"));
}

#[test]
fn with_iptables_a_flow_of_udp_follows_the_port_too() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("iptables").is_some() {
            follows_the_port(lab, "iptables");
        }
    });
}

/// The number of lists of flows that the calls request.
fn lists(lab: &Lab, calls: impl IntoIterator<Item = Call>) -> Vec<usize> {
    let list = |line: &&String| {
        line.contains("NFNL_SUBSYS_CTNETLINK<<8|IPCTNL_MSG_CT_GET") && line.contains("NLM_F_DUMP")
    };
    let count = |call| requests(lab, call).iter().filter(list).count();
    calls.into_iter().map(count).collect()
}

#[test]
fn flows_are_listed_once_a_family_however_many_ports() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("a count of lists of flows") {
            return;
        }
        let pod = Pod::attach(lab, "pod", &json!([]));
        let of = |mappings: &[Value]| {
            let ports = json!({ "runtimeConfig": { "portMappings": mappings } });
            let portmap = pod.portmap_with(lab, &ports);
            let keeps_nobody = json!({ "cni.dev/valid-attachments": [] });
            let gc = pod.portmap_with(lab, &with(ports, &keeps_nobody));
            // DEL once as the usual end and once after GC, when only the configuration has the ports.
            let [add, del, gc] = [(&portmap, "ADD"), (&portmap, "DEL"), (&gc, "GC")]
                .map(|(call, verb)| call.clone().verb(verb));
            lists(lab, [add.clone(), del.clone(), add, gc, del])
        };
        let udp = |count| -> Vec<Value> { (0..count).map(|n| mapping("udp", 5000 + n)).collect() };
        for count in [1, 100] {
            assert_eq!(of(&udp(count)), [2; 5], "{count} ports of both families");
        }
        let mut four = udp(100);
        for mapping in &mut four {
            mapping["hostIP"] = json!("0.0.0.0");
        }
        assert_eq!(of(&four), [1; 5]);
        assert_eq!(of(&[mapping("tcp", 80), mapping("sctp", 80)]), [0; 5]);
    });
}

#[test]
fn an_address_is_looked_up_once_however_many_flows_went_there() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("a count of looked-up routes") {
            return;
        }
        let world = beyond(lab);
        // The host tracks flows from its first published port on.
        let _first = Pod::published(lab, "first", &json!([mapping("tcp", 80)]));
        let pod = Pod::attach(lab, "pod", &json!([mapping("udp", 5353)]));
        let host = bind(lab.host(), "0.0.0.0:5353");
        let mut clients = Vec::new();
        let mut looked_up = |more: u16| {
            for _ in 0..more {
                let client = bind(&world.netns, "192.0.2.2:0");
                client.send_to(b"x", node(5353)).unwrap();
                host.recv_from(&mut [0; 4]).unwrap();
                clients.push(client);
            }
            let asked = requests(lab, pod.portmap(lab).verb("ADD"));
            // strace does not know the names of all rtnetlink messages.
            let route = |line: &&String| line.contains("RTM_GETROUTE") || line.contains("=0x1a ");
            let routes = asked.iter().filter(route).count();
            let deletes = asked
                .iter()
                .filter(|line| line.contains("IPCTNL_MSG_CT_DELETE"));
            let deletes = deletes.count();
            assert_eq!(flows(lab, Family::V4), []);
            pod.portmap(lab).del();
            (routes, deletes)
        };
        let (of_one, deletes) = looked_up(1);
        assert_eq!(deletes, 1);
        assert_eq!(looked_up(20), (of_one, 20));
    });
}
