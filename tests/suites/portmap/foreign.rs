//! Beside other software: without its tools, without nf_tables, and next to its rules.

use std::net::TcpListener;

use linkspan_cli::traffic::{at, tcp_through};
use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::table::elements;
use linkspan_harness::tool::{iptables_rules, nft};
use linkspan_harness::world::beyond;
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{LINKSPAN, Pod, both, mapping};

#[test]
fn nothing_is_executed_and_no_tool_is_needed() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::attach(lab, "pod", &both(8080));
        let without_tools = |call: Call| call.env("PATH", "/nonexistent");
        without_tools(pod.portmap(lab)).add();
        without_tools(pod.portmap(lab)).check(&pod.result);
        without_tools(pod.portmap(lab)).del();
        without_tools(pod.bridge(lab)).check(&pod.result);
        without_tools(pod.bridge(lab)).del();
    });
}

#[test]
fn without_ports_nothing_is_touched() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::attach(lab, "pod", &json!([]));
        let trace = lab.dir().join("trace");
        for verb in ["ADD", "CHECK", "DEL"] {
            let strace = [
                "strace",
                "-f",
                "-o",
                trace.to_str().unwrap(),
                "-e",
                "trace=socket,execve",
            ];
            if !skip::can_trace("what portmap touches without ports") {
                return;
            }
            pod.portmap(lab).verb(verb).under(&strace).run().succeeded();
            let told = std::fs::read_to_string(&trace).unwrap();
            let calls = |name: &str| told.lines().filter(|line| line.contains(name)).count();
            assert_eq!(
                (calls("socket("), calls("execve(")),
                (0, 1),
                "{verb}: {told}"
            );
        }
    });
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::attach(lab, "pod", &both(8080));
        let (host, before) = (Snapshot::of_host(lab), elements(lab));
        for (over, code, named) in [
            (json!({ "prevResult": null }), 7, "chained plugin"),
            (json!({ "prevResult": [] }), 6, "could not parse prevResult"),
            (json!({ "backend": "pf" }), 7, "unknown backend"),
            (
                json!({ "conditionsV4": ["ip saddr 1.2.3.4"] }),
                7,
                "conditionsV4",
            ),
            (
                json!({ "runtimeConfig": { "portMappings": [{ "hostPort": 0, "containerPort": 1, "protocol": "tcp" }] } }),
                7,
                "Invalid host port number: 0",
            ),
            (
                json!({ "runtimeConfig": { "portMappings": {} } }),
                6,
                "portMappings",
            ),
        ] {
            let told = pod.portmap_with(lab, &over).verb("ADD").run().failed(code);
            assert!(told.contains(named), "{over}: {told}");
        }
        assert_eq!((Snapshot::of_host(lab), elements(lab)), (host, before));
    });
}

/// The call as on a kernel without nf_tables: its socket is refused, after this many others.
fn without_nf_tables(lab: &Lab, call: &Call, others: usize) -> Call {
    let trace = lab.dir().join("sockets");
    let traced = |what: &str| {
        let options = ["strace", "-qq", "-o", trace.to_str().unwrap(), "-e", what];
        call.clone().under(&options)
    };
    let sockets = |what: &str| -> Vec<String> {
        let _ends_either_way = traced(what).verb("ADD").run();
        call.clone().verb("DEL").run().succeeded();
        let told = std::fs::read_to_string(&trace).unwrap();
        let lines = told.lines().filter(|line| line.starts_with("socket("));
        lines.map(str::to_owned).collect()
    };
    let is_own = |line: &String| line.contains("NETLINK_NETFILTER");
    let seen = sockets("trace=socket");
    let mut own = (1..).zip(&seen).filter(|(_, line)| is_own(line));
    let (index, _) = own.nth(others).unwrap();
    let refuse = format!("inject=socket:error=EPROTONOSUPPORT:when={index}");
    // musl's socket(3) then tries again without the flags.
    let seen = sockets(&refuse);
    let again = |line: &String| is_own(line) && !line.contains("SOCK_CLOEXEC");
    if seen.get(index).is_some_and(again) {
        return traced(&format!("{refuse}..{}", index + 1));
    }
    traced(&refuse)
}

#[test]
fn where_the_kernel_has_no_nf_tables_it_is_iptables_unless_nf_tables_is_asked_for() {
    in_lab(LINKSPAN, |lab| {
        let told = "the fall back to iptables";
        if !skip::can_trace(told) || skip::without("iptables-restore").is_none() {
            return;
        }
        let over = json!({ "ipMasq": true });
        let pod = Pod::attach_to(
            lab,
            "pod",
            bridge(lab, &over),
            &json!([mapping("tcp", 8080)]),
        );
        pod.bridge(lab).del();
        // Bridge looks for a policy before it masquerades.
        without_nf_tables(lab, &pod.bridge(lab), 1).add();
        without_nf_tables(lab, &pod.portmap(lab), 0).add();
        assert_eq!(elements(lab), [""; 0]);
        assert!(iptables_rules("\"pod\"").len() > 6);
        pod.portmap(lab).del();
        pod.bridge(lab).del();
        assert_eq!(iptables_rules("\"pod\""), [""; 0]);
        let asked = pod.portmap_with(lab, &json!({ "backend": "nftables" }));
        let refused = without_nf_tables(lab, &asked, 0)
            .verb("ADD")
            .run()
            .failed(999);
        assert!(
            refused.contains("this kernel has no nf_tables"),
            "{refused}"
        );
        // STATUS opens no other socket.
        let log = lab.dir().join("status");
        let refuse = "inject=socket:error=EPROTONOSUPPORT:when=1+";
        let strace = ["strace", "-qq", "-o", log.to_str().unwrap(), "-e", refuse];
        let status = asked.verb("STATUS").under(&strace).run().failed(50);
        let told = "portmap has no usable packet filter";
        assert!(status.contains(told), "{status}");
    });
}

#[test]
fn rules_of_others_stay_and_come_first() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        // A service as kube-proxy makes it: on a virtual address, and on a port of the node that a pod publishes, too.
        let service = "table ip kube {\n chain prerouting { type nat hook prerouting priority dstnat;\n \
             ip daddr 10.96.0.10 tcp dport 8080 dnat to 10.1.0.3:81\n \
             ip daddr 192.0.2.1 tcp dport 8081 dnat to 10.1.0.3:81\n }\n }";
        let backend = Pod::published(lab, "pod", &both(8080));
        let target = Pod::attach(lab, "target", &json!([]));
        assert_eq!(target.ip(Family::V4).to_string(), "10.1.0.3");
        if nft(&[service]).is_none() {
            return;
        }
        let theirs = nft(&["list", "table", "ip", "kube"]);
        let second = Pod::published(lab, "second", &both(8081));
        let way = linkspan_netlink::route::RouteSpec {
            gw: Some("192.0.2.1".parse().unwrap()),
            ..linkspan_netlink::route::RouteSpec::to("10.96.0.10".parse().unwrap(), 32)
        };
        let eth0 = world.rtnl().link_by_name("eth0").unwrap().unwrap();
        eth0.add_route(&way).unwrap();
        let any = "0.0.0.0:81";
        let listener = at(&target.sandbox.netns, || TcpListener::bind(any)).unwrap();
        for address in ["10.96.0.10:8080", "192.0.2.1:8081"] {
            let address = address.parse().unwrap();
            tcp_through(&world.netns, &listener, address).unwrap();
        }
        for pod in [&backend, &second] {
            pod.detach(lab);
        }
        assert_eq!(nft(&["list", "table", "ip", "kube"]), theirs);
    });
}
