//! Beside other software: without its tools, next to its rules, and after the Go suite.

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::beyond;
use serde_json::{Value, json};

use crate::ruleset::elements;
use crate::{LINKSPAN, Pod, both, mapping, nft, tool};

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
            if !linkspan_harness::skip::can_trace("what portmap touches without ports") {
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
        assert_eq!(target.ip(false).to_string(), "10.1.0.3");
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
        let listener = linkspan_runtime::traffic::at(&target.sandbox.netns, || {
            std::net::TcpListener::bind("0.0.0.0:81")
        })
        .unwrap();
        for address in ["10.96.0.10:8080", "192.0.2.1:8081"] {
            let address = address.parse().unwrap();
            linkspan_runtime::traffic::tcp_through(&world.netns, &listener, address).unwrap();
        }
        for pod in [&backend, &second] {
            pod.detach(lab);
        }
        assert_eq!(nft(&["list", "table", "ip", "kube"]), theirs);
    });
}

/// The same call of the Go plugin.
fn of_go(call: &Call, go: &std::path::Path, plugin: &str) -> Call {
    call.clone()
        .exe(&go.join(plugin))
        .env("CNI_PATH", &go.to_string_lossy())
}

/// The rules that iptables has, of both kinds and families, for one container.
fn iptables_rules(container: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for save in [
        "iptables-nft-save",
        "ip6tables-nft-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ] {
        let listed = tool(save, &["-t", "nat"]).unwrap_or_default();
        let own = |line: &&str| line.contains(container) || line.contains("CNI-DN-");
        rules.extend(listed.lines().filter(own).map(str::to_owned));
    }
    rules
}

/// A container that the Go suite attaches: its conf, and what it is to publish.
fn go_pod(lab: &Lab, go: &std::path::Path, id: &str, mappings: &Value) -> Pod {
    let sandbox = lab.sandbox();
    let bridge = bridge(
        lab,
        &json!({ "cniVersion": "1.0.0", "ipMasq": true, "hairpinMode": true }),
    );
    let ours = lab.plugin("bridge").of(id, &sandbox).conf(&bridge);
    let result = of_go(&ours, go, "bridge").add();
    let portmap = json!({
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "portmap",
        "runtimeConfig": { "portMappings": mappings },
    });
    let pod = Pod {
        sandbox,
        id: id.to_owned(),
        bridge,
        portmap,
        result,
    };
    of_go(&pod.portmap(lab), go, "portmap").add();
    pod
}

#[test]
fn containers_of_the_go_suite_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("the swap of portmap and masquerade") else {
            return;
        };
        let pod = go_pod(lab, go, "gopod", &both(8080));
        let neighbour = go_pod(lab, go, "other", &json!([mapping("tcp", 8081)]));
        assert!(!iptables_rules("gopod").is_empty());
        pod.bridge(lab).check(&pod.result);
        pod.portmap(lab).check(&pod.result);
        let others = iptables_rules("other").len();
        pod.detach(lab);
        let left: Vec<_> = iptables_rules("gopod")
            .into_iter()
            .filter(|rule| rule.contains("gopod"))
            .collect();
        assert_eq!(left, [""; 0]);
        assert!(others > 0);
        // The neighbour's ports go on working.
        neighbour.portmap(lab).check(&neighbour.result);
        neighbour.detach(lab);
        assert_eq!(iptables_rules("other"), [""; 0]);
    });
}

#[test]
fn containers_of_ours_in_iptables_are_detached_by_the_go_suite() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("the swap of portmap and masquerade") else {
            return;
        };
        if tool("iptables-restore", &["--version"]).is_none() {
            return;
        }
        let world = beyond(lab);
        let over = json!({
            "cniVersion": "1.0.0",
            "ipMasq": true,
            "ipMasqBackend": "iptables",
            "hairpinMode": true,
        });
        let mut pod = Pod::attach_to(lab, "pod", bridge(lab, &over), &both(8080));
        pod.portmap["backend"] = json!("iptables");
        pod.portmap(lab).add();
        let once = iptables_rules("pod");
        pod.portmap(lab).add();
        assert_eq!(iptables_rules("pod"), once);
        assert_eq!(elements(lab), [""; 0]);
        pod.portmap(lab).check(&pod.result);
        pod.bridge(lab).check(&pod.result);
        let listener = linkspan_runtime::traffic::at(&pod.sandbox.netns, || {
            std::net::TcpListener::bind("0.0.0.0:80")
        })
        .unwrap();
        for (from, address) in [
            (&world.netns, "192.0.2.1:8080"),
            (lab.host(), "127.0.0.1:8080"),
            (&pod.sandbox.netns, "192.0.2.1:8080"),
        ] {
            let address = address.parse().unwrap();
            linkspan_runtime::traffic::tcp_through(from, &listener, address).unwrap();
        }
        // Version 1.1.1 of the Go suite does not know the keys of the backends, and ignores them. Its CHECK of a pod with
        // two addresses looks for the rules of the first one in both families, so it is not asked.
        of_go(&pod.portmap(lab), go, "portmap").del();
        of_go(&pod.bridge(lab), go, "bridge").del();
        assert_eq!(iptables_rules("\"pod\""), [""; 0]);
        // And by ours, one transaction for each family.
        let again = Pod::attach_to(lab, "again", bridge(lab, &over), &both(8080));
        let conf = with(again.portmap.clone(), &json!({ "backend": "iptables" }));
        let call = again
            .portmap(lab)
            .conf(&with(conf, &json!({ "prevResult": again.result })));
        call.add();
        call.del();
        again.bridge(lab).del();
        assert_eq!(iptables_rules("again"), [""; 0]);
    });
}
