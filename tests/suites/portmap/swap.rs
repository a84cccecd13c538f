//! After the Go suite, and before it: its state in each packet filter, and ours in its format.

use std::net::TcpListener;
use std::path::Path;

use linkspan_cli::traffic::{at, tcp_through};
use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use linkspan_harness::table::elements;
use linkspan_harness::tool::{iptables_rules, nft, older_iptables, ruleset, tool};
use linkspan_harness::world::beyond;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, both, mapping};

/// The same call of the Go plugin.
fn of_go(call: &Call, go: &Path, plugin: &str) -> Call {
    call.clone()
        .exe(&go.join(plugin))
        .env("CNI_PATH", &go.to_string_lossy())
}

/// A container that the Go suite attaches with `plugin` and the iptables of `path`.
pub(crate) fn go_pod(
    lab: &Lab,
    (go, path, plugin): (&Path, &str, &str),
    id: &str,
    mappings: &Value,
) -> Pod {
    let sandbox = lab.sandbox();
    let mut ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
    ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    let bridge = bridge(
        lab,
        &json!({
            "cniVersion": "1.0.0",
            "type": plugin,
            "ipMasq": true,
            "hairpinMode": true,
            "isDefaultGateway": null,
            "isGateway": true,
            "ipam": ipam,
        }),
    );
    let lock = lab.dir().join("xtables.lock");
    let by_go = |call: Call, plugin: &str| {
        of_go(&call, go, plugin)
            .env("PATH", path)
            .env("XTABLES_LOCKFILE", lock.to_str().unwrap())
    };
    let ours = lab.plugin(plugin).of(id, &sandbox).conf(&bridge);
    let result = by_go(ours, plugin).add();
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
        environment: Vec::new(),
    };
    by_go(pod.portmap(lab), "portmap").add();
    pod
}

#[test]
fn containers_of_the_go_suite_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        take_over(lab, "/usr/sbin:/usr/bin:/sbin:/bin", "bridge");
    });
}

#[test]
fn containers_of_the_go_suite_in_the_older_packet_filter_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        if let Some(older) = older_iptables(lab) {
            take_over(lab, &older, "bridge");
        }
    });
}

#[test]
fn containers_of_the_go_suite_on_links_of_their_own_are_checked_and_detached() {
    in_lab(LINKSPAN, |lab| {
        take_over(lab, "/usr/sbin:/usr/bin:/sbin:/bin", "ptp");
    });
}

/// Two containers of the Go suite. We detach one, while the other's port still works.
fn take_over(lab: &Lab, path: &str, plugin: &str) {
    let Some(go) = go_plugins("the swap of portmap and masquerade") else {
        return;
    };
    let world = beyond(lab);
    let lock = lab.dir().join("xtables.lock");
    let ours = |call: Call| call.env("XTABLES_LOCKFILE", lock.to_str().unwrap());
    let pod = go_pod(lab, (go, path, plugin), "gopod", &both(8080));
    let neighbour = go_pod(
        lab,
        (go, path, plugin),
        "other",
        &json!([mapping("tcp", 8081)]),
    );
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
        // Version 1.1.1 of the Go suite does not know the keys of the backends, and ignores them. Its CHECK of a pod
        // with two addresses looks for the rules of the first one in both families, so it is not called.
        of_go(&pod.portmap(lab), go, "portmap").del();
        of_go(&pod.bridge(lab), go, "bridge").del();
        assert_eq!(iptables_rules("\"pod\""), [""; 0]);
        // And with ours, one transaction for each family.
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

/// The state that version 1.9 of the Go suite leaves with its nft backends, for a container that we detach and for
/// another one.
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
        let left = ruleset().unwrap();
        assert!(
            !left.contains("\"dummy\"") && !left.contains("id: dummy\""),
            "{left}"
        );
        assert!(left.contains("comment \"dummy2\""), "{left}");
        assert!(left.contains("id: dummy2\""), "{left}");
    });
}
