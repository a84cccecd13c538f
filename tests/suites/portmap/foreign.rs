//! Beside other software: without its tools, next to its rules, and after the Go suite.

use std::net::TcpListener;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::beyond;
use linkspan_runtime::traffic::{at, tcp_through};
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

/// The call as on a kernel without nf_tables: the socket to it is refused. Which one that is, a first run tells.
fn without_nf_tables(lab: &Lab, call: &Call) -> Call {
    let trace = lab.dir().join("sockets");
    let file = trace.to_str().unwrap();
    let look = ["strace", "-qq", "-o", file, "-e", "trace=socket"];
    call.clone().under(&look).verb("ADD").run().succeeded();
    call.clone().verb("DEL").run().succeeded();
    let told = std::fs::read_to_string(&trace).unwrap();
    let to_netfilter = |line: &str| line.contains("NETLINK_NETFILTER");
    let mut sockets = told.lines().filter(|line| line.starts_with("socket("));
    let index = sockets.position(to_netfilter).unwrap() + 1;
    let refuse = format!("inject=socket:error=EPROTONOSUPPORT:when={index}");
    call.clone()
        .under(&["strace", "-qq", "-o", file, "-e", &refuse])
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
        without_nf_tables(lab, &pod.bridge(lab)).add();
        without_nf_tables(lab, &pod.portmap(lab)).add();
        assert_eq!(elements(lab), [""; 0]);
        assert!(iptables_rules("\"pod\"").len() > 6);
        pod.portmap(lab).del();
        pod.bridge(lab).del();
        assert_eq!(iptables_rules("\"pod\""), [""; 0]);
        let asked = pod.portmap_with(lab, &json!({ "backend": "nftables" }));
        let refused = without_nf_tables(lab, &asked).verb("ADD").run().failed(999);
        assert!(
            refused.contains("this kernel has no nf_tables"),
            "{refused}"
        );
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

/// The same call of the Go plugin.
fn of_go(call: &Call, go: &Path, plugin: &str) -> Call {
    call.clone()
        .exe(&go.join(plugin))
        .env("CNI_PATH", &go.to_string_lossy())
}

/// A PATH on which `iptables` is the one of the older packet filter; `None` where it is not installed.
fn older_iptables(lab: &Lab) -> Option<String> {
    let multi = skip::without("xtables-legacy-multi")?;
    let dir = lab.dir().join("older");
    std::fs::create_dir(&dir).unwrap();
    for program in ["", "-save", "-restore"] {
        for family in ["iptables", "ip6tables"] {
            let link = dir.join(format!("{family}{program}"));
            std::os::unix::fs::symlink(&multi, link).unwrap();
        }
    }
    Some(dir.to_string_lossy().into_owned())
}

/// The rules that iptables has, of both kinds and families, in which a text occurs.
fn iptables_rules(container: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for save in [
        "iptables-nft-save",
        "ip6tables-nft-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ] {
        let listed = tool(save, &["-t", "nat"]).unwrap_or_default();
        // `iptables-save` writes quotes in comments behind a backslash.
        let own = |line: &&str| line.replace('\\', "").contains(container);
        rules.extend(listed.lines().filter(own).map(str::to_owned));
    }
    rules
}

/// A container that the Go suite attaches with the iptables of `path`.
fn go_pod(lab: &Lab, (go, path): (&Path, &str), id: &str, mappings: &Value) -> Pod {
    let sandbox = lab.sandbox();
    let bridge = bridge(
        lab,
        &json!({ "cniVersion": "1.0.0", "ipMasq": true, "hairpinMode": true }),
    );
    let lock = lab.dir().join("xtables.lock");
    let by_go = |call: Call, plugin: &str| {
        of_go(&call, go, plugin)
            .env("PATH", path)
            .env("XTABLES_LOCKFILE", lock.to_str().unwrap())
    };
    let ours = lab.plugin("bridge").of(id, &sandbox).conf(&bridge);
    let result = by_go(ours, "bridge").add();
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
    by_go(pod.portmap(lab), "portmap").add();
    pod
}

#[test]
fn containers_of_the_go_suite_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        let usual = "/usr/sbin:/usr/bin:/sbin:/bin";
        take_over(lab, usual);
    });
}

#[test]
fn containers_of_the_go_suite_in_the_older_packet_filter_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        if let Some(older) = older_iptables(lab) {
            take_over(lab, &older);
        }
    });
}

/// Two containers of the Go suite, of which we detach one while the other's port goes on working.
fn take_over(lab: &Lab, path: &str) {
    let Some(go) = go_plugins("the swap of portmap and masquerade") else {
        return;
    };
    let world = beyond(lab);
    let lock = lab.dir().join("xtables.lock");
    let ours = |call: Call| call.env("XTABLES_LOCKFILE", lock.to_str().unwrap());
    let pod = go_pod(lab, (go, path), "gopod", &both(8080));
    let neighbour = go_pod(lab, (go, path), "other", &json!([mapping("tcp", 8081)]));
    let any = "0.0.0.0:80";
    let listener = at(&neighbour.sandbox.netns, || TcpListener::bind(any)).unwrap();
    let reached = || {
        let port = "192.0.2.1:8081".parse().unwrap();
        tcp_through(&world.netns, &listener, port).unwrap();
    };
    reached();
    assert!(!iptables_rules("\"gopod").is_empty());
    ours(pod.bridge(lab)).check(&pod.result);
    ours(pod.portmap(lab)).check(&pod.result);
    ours(pod.portmap(lab)).del();
    ours(pod.bridge(lab)).del();
    assert_eq!(iptables_rules("\"gopod"), [""; 0]);
    reached();
    ours(neighbour.portmap(lab)).check(&neighbour.result);
    ours(neighbour.portmap(lab)).del();
    ours(neighbour.bridge(lab)).del();
    assert_eq!(iptables_rules("CNI-DN-"), [""; 0]);
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
        let once = iptables_rules("\"pod\"");
        pod.portmap(lab).add();
        assert_eq!(iptables_rules("\"pod\""), once);
        assert_eq!(elements(lab), [""; 0]);
        pod.portmap(lab).check(&pod.result);
        pod.bridge(lab).check(&pod.result);
        let any = "0.0.0.0:80";
        let listener = at(&pod.sandbox.netns, || TcpListener::bind(any)).unwrap();
        for (from, address) in [
            (&world.netns, "192.0.2.1:8080"),
            (lab.host(), "127.0.0.1:8080"),
            (&pod.sandbox.netns, "192.0.2.1:8080"),
        ] {
            let address = address.parse().unwrap();
            tcp_through(from, &listener, address).unwrap();
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
        assert_eq!(iptables_rules("\"again\""), [""; 0]);
    });
}

/// What version 1.9 of the Go suite leaves with its nft backends, for a container that we detach and for another one.
const NEWER_GO: &str = r#"
table ip cni_hostport {
  chain hostports {
    tcp dport 8080 dnat to 10.1.0.2:80 comment "dummy"
    tcp dport 8081 dnat to 10.1.0.3:80 comment "dummy2"
  }
  chain masquerading {
    type nat hook postrouting priority 100
    ip saddr 10.1.0.2 ip daddr 10.1.0.2 masquerade comment "dummy"
  }
}
table ip6 cni_hostport {
  chain hostports {
    tcp dport 8080 dnat to [fd00:1::2]:80 comment "dummy"
  }
}
table inet cni_plugins_masquerade {
  chain masq_checks {
    ip saddr 10.1.0.2 ip daddr != 10.1.0.0/16 masquerade comment "d23676b4f2d9fe04-678b25cd6528b49d, net: mynet, if: eth0, id: dummy"
    ip6 saddr fd00:1::2 ip6 daddr != fd00:1::/64 masquerade comment "d23676b4f2d9fe04-678b25cd6528b49d, net: mynet, if: eth0, id: dummy"
    ip saddr 10.1.0.3 ip daddr != 10.1.0.0/16 masquerade comment "d23676b4f2d9fe04-0123456789abcdef, net: mynet, if: eth0, id: dummy2"
  }
}
"#;

#[test]
fn what_a_newer_go_suite_keeps_in_nf_tables_is_checked_and_removed() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "name": "mynet", "ipMasq": true });
        let pod = Pod::attach_to(
            lab,
            "dummy",
            bridge(lab, &over),
            &json!([mapping("tcp", 8080)]),
        );
        // As if the Go suite had attached it.
        let Some(_) = nft(&["delete table inet linkspan"]) else {
            return;
        };
        nft(&[NEWER_GO]);
        pod.portmap(lab).check(&pod.result);
        pod.bridge(lab).check(&pod.result);
        pod.portmap(lab).del();
        pod.bridge(lab).del();
        let left = nft(&["list", "ruleset"]).unwrap();
        assert!(
            !left.contains("\"dummy\"") && !left.contains("id: dummy\""),
            "{left}"
        );
        assert!(left.contains("comment \"dummy2\""), "{left}");
        assert!(left.contains("id: dummy2\""), "{left}");
    });
}
