//! GC by ownership: its effect on two networks that share a bridge, and the state that it leaves.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::slice::from_ref;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::{skip, table, tool};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A pod of a network on the bridge that all of them share, masqueraded and with two ports.
struct Pod {
    id: String,
    sandbox: Sandbox,
    bridge: Value,
    portmap: Value,
}

/// The bridge's configuration of network `two`, `three` and so on by its number.
fn network(lab: &Lab, name: &str, number: usize) -> Value {
    let subnets = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/64")];
    let ipam = host_local(lab, &subnets.each_ref().map(String::as_str));
    // A bridge has one IPv4 address, so only the first network has its gateway there.
    let over =
        json!({ "name": name, "ipMasq": true, "ipam": ipam, "isDefaultGateway": number == 1 });
    bridge(lab, &over)
}

/// `count` pods called `prefix0` and so on.
fn pods(lab: &Lab, (name, number): (&str, usize), prefix: &str, count: usize) -> Vec<Pod> {
    let conf = network(lab, name, number);
    let first = 1000 * number + if prefix == "dead" { 500 } else { 0 };
    let pod = |at: usize| {
        let mapping = |protocol: &str| json!({ "hostPort": first + at, "containerPort": 80, "protocol": protocol });
        let mappings = [mapping("tcp"), mapping("udp")];
        let portmap = json!({ "cniVersion": "1.1.0", "name": name, "type": "portmap",
            "runtimeConfig": { "portMappings": mappings } });
        Pod {
            id: format!("{prefix}{at}"),
            sandbox: lab.sandbox(),
            bridge: conf.clone(),
            portmap,
        }
    };
    (0..count).map(pod).collect()
}

/// Attaches all of them at once.
fn attach(lab: &Lab, pods: &[Pod]) {
    let call = |pod: &Pod, plugin: &str, conf: &Value| {
        let call = lab.plugin(plugin).of(&pod.id, &pod.sandbox);
        call.conf(conf).verb("ADD").spawn()
    };
    let running: Vec<_> = pods
        .iter()
        .map(|pod| call(pod, "bridge", &pod.bridge))
        .collect();
    let results: Vec<_> = running.into_iter().map(|run| run.wait().json()).collect();
    let running: Vec<_> = pods
        .iter()
        .zip(&results)
        .map(|(pod, result)| {
            let previous = json!({ "prevResult": result });
            call(pod, "portmap", &with(pod.portmap.clone(), &previous))
        })
        .collect();
    for run in running {
        run.wait().succeeded();
    }
}

/// GC of one plugin: `conf` with the list of valid pods.
fn gc(lab: &Lab, conf: &Value, valid: &[&str]) {
    let valid: Vec<_> = valid
        .iter()
        .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
        .collect();
    let conf = with(conf.clone(), &json!({ "cni.dev/valid-attachments": valid }));
    let call = lab.plugin(conf["type"].as_str().unwrap()).conf(&conf);
    assert_eq!(call.verb("GC").run().succeeded(), "");
}

/// All owned state on the host, a line each, with the owner.
fn owned(lab: &Lab) -> Vec<String> {
    let links = lab.rtnl().links().unwrap();
    let mut lines: Vec<_> = links
        .iter()
        .map(|link| format!("link {} of {}", link.name, link.alias))
        .collect();
    for network in fs::read_dir(lab.leases()).into_iter().flatten().flatten() {
        let name = network.file_name().into_string().unwrap();
        for ip in lab.leased(&name) {
            let lease = fs::read_to_string(network.path().join(&ip)).unwrap();
            let owner = lease.replace("\r\n", "/");
            lines.push(format!("lease {ip} of {name}/{owner}"));
        }
    }
    lines.extend(table::elements(lab));
    lines.sort();
    lines
}

fn count(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn of_two_networks_on_one_bridge_exactly_the_dead_of_one_are_collected() {
    const EACH: usize = 25;
    in_lab(LINKSPAN, |lab| {
        let (one, two) = (("one", 1), ("two", 2));
        let live = pods(lab, one, "live", EACH);
        let dead = pods(lab, one, "dead", EACH);
        let (others, their_dead) = (pods(lab, two, "live", EACH), pods(lab, two, "dead", EACH));
        for some in [&live, &dead, &others, &their_dead] {
            attach(lab, some);
        }
        let before = owned(lab);
        // A link, two leases; for each port of each family four elements, and one of each family for the addresses
        // that see the host instead of the client. The host has no address towards network two, and so no replacement
        // for 127.0.0.1.
        for (pod, things) in [("one/live7", 21), ("one/dead7", 21), ("two/dead7", 17)] {
            assert_eq!(
                count(&before, &format!("{pod}/")),
                things,
                "{pod}: {before:#?}"
            );
        }

        let valid: Vec<_> = live.iter().map(|pod| pod.id.as_str()).collect();
        let confs = [
            &live[0].bridge,
            &json!({ "cniVersion": "1.1.0", "name": "one", "type": "portmap" }),
        ];
        for conf in confs {
            gc(lab, conf, &valid);
        }
        let expected: Vec<_> = before
            .iter()
            .filter(|line| !line.contains("one/dead"))
            .cloned()
            .collect();
        assert_eq!(owned(lab), expected);
        // The second time changes nothing.
        for conf in confs {
            gc(lab, conf, &valid);
        }
        assert_eq!(owned(lab), expected);
    });
}

#[test]
fn a_list_that_is_null_is_empty_and_without_a_list_nothing_is_collected() {
    in_lab(LINKSPAN, |lab| {
        let dead = pods(lab, ("one", 1), "dead", 2);
        let others = pods(lab, ("two", 2), "live", 1);
        for some in [&dead, &others] {
            attach(lab, some);
        }
        let before = owned(lab);
        let portmap = json!({ "cniVersion": "1.1.0", "name": "one", "type": "portmap" });
        let confs = [&dead[0].bridge, &portmap];
        for conf in confs {
            let plugin = lab.plugin(conf["type"].as_str().unwrap());
            let run = plugin.conf(conf).verb("GC").run();
            assert_eq!(run.succeeded(), "");
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        }
        assert_eq!(owned(lab), before);
        // As CRI-O calls it at its start without pods.
        for conf in confs {
            let mut conf = conf.clone();
            conf["cni.dev/valid-attachments"] = Value::Null;
            conf["cni.dev/attachments"] = Value::Null;
            let plugin = lab.plugin(conf["type"].as_str().unwrap());
            assert_eq!(plugin.conf(&conf).verb("GC").run().succeeded(), "");
        }
        let expected: Vec<_> = before
            .iter()
            .filter(|line| !line.contains("one/dead"))
            .cloned()
            .collect();
        assert_eq!(owned(lab), expected);
    });
}

/// The same pod, by iptables.
fn by_iptables(pod: Pod) -> Pod {
    Pod {
        bridge: with(pod.bridge, &json!({ "ipMasqBackend": "iptables" })),
        portmap: with(pod.portmap, &json!({ "backend": "iptables" })),
        ..pod
    }
}

/// Attaches a pod by the Go plugins, which know no newer version.
fn attach_by(go: &Path, lab: &Lab, pod: &Pod) {
    let call = |plugin: &str, conf: &Value, previous: &Value| {
        let over = json!({ "cniVersion": "1.0.0", "prevResult": previous });
        let call = lab.foreign(go, plugin).of(&pod.id, &pod.sandbox);
        call.conf(&with(conf.clone(), &over)).add()
    };
    let result = call("bridge", &pod.bridge, &Value::Null);
    call("portmap", &pod.portmap, &result);
}

#[test]
fn the_dead_of_one_network_are_collected_from_iptables_too() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("iptables-restore").is_none() {
            return;
        }
        let some = |network, prefix| pods(lab, network, prefix, 2).into_iter().map(by_iptables);
        let attach_each = |pods: &[Pod]| {
            for pod in pods {
                attach(lab, from_ref(pod));
            }
        };
        let live: Vec<Pod> = some(("one", 1), "live").collect();
        let others: Vec<Pod> = some(("two", 2), "dead").collect();
        attach_each(&live);
        attach_each(&others);
        let before = tool::iptables_rules("CNI-");

        let mut dead: Vec<Pod> = some(("one", 1), "dead").collect();
        if let Some(go) = go_plugins("what GC collects of theirs in iptables") {
            attach_by(go, lab, &dead.pop().unwrap());
        }
        attach_each(&dead);
        let valid: Vec<_> = live.iter().map(|pod| pod.id.as_str()).collect();
        let portmap = json!({ "cniVersion": "1.1.0", "name": "one", "type": "portmap" });
        for conf in [&live[0].bridge, &portmap] {
            assert_ne!(tool::iptables_rules("CNI-"), before);
            gc(lab, conf, &valid);
        }
        assert_eq!(tool::iptables_rules("CNI-"), before);
    });
}

#[test]
fn the_runtime_has_what_vanished_collected_on_a_bridge_and_on_pairs() {
    for (plugin, device) in [("bridge", "veth"), ("ptp", "veth"), ("ptp", "netkit")] {
        in_lab(LINKSPAN, |lab| {
            if !skip::has_pair(&lab.rtnl(), device) {
                return;
            }
            let dir = lab.dir().join("net.d");
            fs::create_dir(&dir).unwrap();
            let interface = bridge(
                lab,
                &json!({ "type": plugin, "device": device, "ipMasq": true }),
            );
            let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
            let list =
                json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [interface, portmap] });
            fs::write(dir.join("net.conflist"), list.to_string()).unwrap();
            let run = |args: &[&str], port: u16| {
                let cache = lab.dir().join("cache");
                let mapping = json!({ "hostPort": port, "containerPort": 80, "protocol": "udp" });
                lab.linkspan(args)
                    .args(&["--cache-dir", cache.to_str().unwrap()])
                    .env("NETCONFPATH", dir.to_str().unwrap())
                    .env("CNI_PATH", lab.bin().to_str().unwrap())
                    .env(
                        "CAP_ARGS",
                        &json!({ "portMappings": [mapping] }).to_string(),
                    )
                    .run()
            };
            let live = lab.sandbox();
            run(
                &["add", "net", &live.path(), "--container-id", "live"],
                8080,
            )
            .succeeded();
            let before = owned(lab);
            let dead = lab.sandbox();
            // A separate path: a descriptor's number may be reused at any time.
            let path = lab.dir().join("dead");
            symlink(dead.path(), &path).unwrap();
            let netns = path.to_str().unwrap();
            run(&["add", "net", netns, "--container-id", "dead"], 8081).succeeded();
            assert!(count(&owned(lab), "net/dead/") > 0);
            fs::remove_file(&path).unwrap();
            drop(dead);
            lab.until_pairs(1);
            run(&["gc", "net"], 0).succeeded();
            assert_eq!(owned(lab), before, "{plugin} {device}");
            run(
                &["check", "net", &live.path(), "--container-id", "live"],
                8080,
            )
            .succeeded();
        });
    }
}

#[test]
fn the_links_of_an_administrator_are_nobodys_whatever_their_groups() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("ip").is_none() {
            return;
        }
        let conf = network(lab, "one", 1);
        let sandbox = lab.sandbox();
        lab.plugin("bridge").of("pod", &sandbox).conf(&conf).add();
        // With names like ours, and in groups that an untagged pair of the network could be in.
        let pod = linkspan_owner::Owner::parse("one/pod/eth0").unwrap();
        let line = |at: u32| {
            let (name, group) = (0x1000_0000 + at, pod.network_group() | (at * 1021 + 1));
            format!("link add veth{name:08x} group {group} type veth peer name adm{at}\n")
        };
        let batch: String = (0..64).map(line).collect();
        let file = lab.dir().join("batch");
        fs::write(&file, batch).unwrap();
        let ip = Call::new(&skip::without("ip").unwrap());
        ip.args(&["-batch", file.to_str().unwrap()])
            .run()
            .succeeded();
        let count = || lab.rtnl().links().unwrap().len();
        let before = count();
        gc(lab, &conf, &[]);
        // The pod's own pair, and nothing else.
        assert_eq!(count(), before - 1);
    });
}
