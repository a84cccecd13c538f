//! With the capabilities that SECURITY.md lists for a plugin, it can do everything. Without any one of them, its error
//! says so.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{good, master, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::nic;
use linkspan_harness::skip;
use linkspan_harness::trial::Trial;
use linkspan_harness::{kind, world};
use linkspan_netlink::link::{Kind, LinkSpec};
use serde_json::{Value, json};

use crate::LINKSPAN;

/// Each plugin with its required capabilities.
fn listed() -> Vec<(String, Vec<String>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    let text = fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("\n## Capabilities\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(quoted);
        (cells.next().unwrap().remove(0), cells.next().unwrap())
    })
    .collect()
}

/// The call as root with only these capabilities. The namespace has a separate path, as with a runtime: a path below
/// /proc would be its process's.
fn with_only(capabilities: &[&String], lab: &Lab, call: Call) -> Call {
    let set = capabilities.iter().fold("-all".to_owned(), |set, name| {
        let name = name.trim_start_matches("CAP_").to_lowercase();
        set + ",+" + &name
    });
    let netns = lab.dir().join("netns");
    fs::write(&netns, "").unwrap();
    let script = "mount -c --bind \"$CNI_NETNS\" \"$0\" && CNI_NETNS=\"$0\" && export CNI_NETNS && \
        exec setpriv --bounding-set \"$@\"";
    let netns = netns.to_str().unwrap();
    call.under(&["unshare", "-m", "sh", "-c", script, netns, &set])
}

fn conf(lab: &Lab, plugin: &str) -> Value {
    let over = match plugin {
        "portmap" => {
            let mapping = json!({ "hostPort": 8080, "containerPort": 80, "protocol": "udp" });
            json!({
                "prevResult": { "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.9/16" }] },
                "runtimeConfig": { "portMappings": [mapping] },
            })
        }
        "bandwidth" => {
            let previous = json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": "lo" }] });
            json!({
                "prevResult": previous,
                "shapeIn": "container",
                "egressRate": 8_000_000,
                "egressBurst": 8_000_000,
            })
        }
        "tuning" => {
            let previous = json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": "lo" }] });
            json!({ "prevResult": previous })
        }
        "firewall" => {
            json!({ "ingressPolicy": "isolated", "prevResult": { "cniVersion": "1.1.0", "interfaces": [{ "name": "br0" }], "ips": [{ "address": "10.1.0.9/16" }] } })
        }
        "route-override" => {
            let previous = json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": "lo" }] });
            json!({ "prevResult": previous, "addroutes": [{ "dst": "10.9.0.0/16" }] })
        }
        "sbr" => {
            let previous = json!({
                "cniVersion": "1.1.0",
                "interfaces": [{ "name": "lo" }],
                "ips": [{ "address": "10.1.0.7/16", "interface": 0 }],
            });
            json!({ "prevResult": previous })
        }
        "bridge" | "ptp" => json!({ "ipMasq": true }),
        _ => json!({}),
    };
    with(good(lab, plugin), &over)
}

/// An existing interface, if the plugin needs one.
fn ifname(plugin: &str) -> &'static str {
    match plugin {
        "bandwidth" | "route-override" | "sbr" | "tuning" => "lo",
        _ => "eth0",
    }
}

/// Gives the container an interface that the host does not reach.
fn on_master(lab: &Lab, sandbox: &Sandbox) {
    let master = lab.rtnl().link_by_name(master(lab)).unwrap().unwrap();
    let spec = LinkSpec {
        netns: Some(sandbox.netns.as_fd()),
        ..LinkSpec::new("eth0", kind::macvlan())
    };
    master.create_child(&spec).unwrap();
    let link = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
    world::add_address(&link, [10, 1, 0, 7].into());
    link.set_up().unwrap();
}

#[test]
fn the_capabilities_that_are_listed_suffice() {
    in_lab(LINKSPAN, |lab| {
        nic::make(lab, "nic0", &[]);
        for (plugin, needed) in listed() {
            if !skip::can_attach(&lab.rtnl(), &plugin) {
                continue;
            }
            let sandbox = lab.sandbox();
            if plugin == "route-override" {
                // No route leaves by a link that is down.
                let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
                lo.set_up().unwrap();
            }
            if plugin == "host-reach" {
                on_master(lab, &sandbox);
            }
            if plugin == "vrf" {
                let link = LinkSpec::new("eth0", Kind::Bridge);
                sandbox.rtnl().create(&link).unwrap();
            }
            let conf = conf(lab, &plugin);
            let valid = json!([{ "containerID": "pod", "ifname": ifname(&plugin) }]);
            let conf = with(conf, &json!({ "cni.dev/valid-attachments": valid }));
            let call = lab.plugin(&plugin).of("pod", &sandbox).conf(&conf);
            let call = call.env("CNI_IFNAME", ifname(&plugin));
            let needed: Vec<_> = needed.iter().collect();
            let run = |call: &Call, verb| with_only(&needed, lab, call.clone().verb(verb)).run();
            let result = run(&call, "ADD").json();
            let after = match &*plugin {
                "firewall" | "portmap" => call.clone(),
                _ => call.after(&result),
            };
            for verb in ["CHECK", "GC", "STATUS", "DEL"] {
                run(&after, verb).succeeded();
            }
        }
    });
}

#[test]
fn a_capability_that_is_missing_is_named_and_nothing_is_changed() {
    in_lab(LINKSPAN, |lab| {
        nic::make(lab, "nic0", &[]);
        let trial = Trial::new(lab);
        let mut count = 0;
        for (plugin, needed) in listed() {
            let conf = conf(lab, &plugin);
            for missing in &needed {
                let rest: Vec<_> = needed.iter().filter(|name| *name != missing).collect();
                let call = |verb| {
                    let call = trial.call(&plugin, verb, &json!({})).conf(&conf);
                    call.env("CNI_IFNAME", ifname(&plugin))
                };
                trial.refused(&with_only(&rest, lab, call("STATUS")), 50, missing);
                // The container of the trial has no interface on a master.
                if plugin != "host-reach" {
                    // The hint of code 999 names both, as root has both.
                    trial.refused(&with_only(&rest, lab, call("ADD")), 999, missing);
                }
                assert_eq!(lab.leased("net"), [""; 0], "{plugin} without {missing}");
                count += 1;
            }
        }
        assert_eq!(count, 33, "capabilities of all plugins together");
    });
}
