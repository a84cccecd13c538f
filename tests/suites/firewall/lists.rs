//! The engines' lists, unchanged except for directories of leases and settings, and for foreign plugins.

use std::fs;

use linkspan_harness::conf::addresses;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::table::elements;
use linkspan_harness::traffic;
use serde_json::{Value, json};

use crate::{LINKSPAN, NATIVE, about, saved};

const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suites/runtime/lists");

/// Attaches, compares and detaches with an engine's list. `iptables` tells whether to look for its rules.
fn serves(lab: &Lab, name: &str, iptables: bool) {
    let text = fs::read_to_string(format!("{LISTS}/{name}.conflist")).unwrap();
    let mut list: Value = serde_json::from_str(&text).unwrap();
    let plugins = list["plugins"].as_array_mut().unwrap();
    let others = ["consul-cni", "dnsname", "loopback"];
    plugins.retain(|plugin| !others.contains(&plugin["type"].as_str().unwrap()));
    for plugin in plugins {
        if plugin["type"] == "bridge" {
            plugin["ipam"]["dataDir"] = json!(lab.leases());
        }
        if plugin["type"] == "tuning" {
            plugin["dataDir"] = json!(lab.dir().join("tuning"));
        }
    }
    let file = lab.dir().join(format!("{name}.conflist"));
    fs::write(&file, list.to_string()).unwrap();
    let sandbox = lab.sandbox();
    let cache = lab.dir().join("cache");
    let call = |verb: &str| {
        let call = lab.linkspan(&["--cache-dir", cache.to_str().unwrap(), verb]);
        let call = call.args(&[file.to_str().unwrap(), &sandbox.path()]);
        call.env("CNI_PATH", lab.bin().to_str().unwrap())
            .env("XTABLES_LOCKFILE", "/dev/null")
    };
    let before = Snapshot::of_host(lab);
    let result = call("add").run().json();
    call("check").run().succeeded();
    let own = addresses(&result);
    assert_eq!(
        elements(lab)
            .iter()
            .filter(|line| line.starts_with("firewall_v"))
            .count(),
        own.len()
    );
    for ip in &own {
        traffic::flows(lab.host(), &sandbox.netns, *ip);
        if iptables {
            assert_eq!(about(NATIVE, &ip.to_string()).len(), 2, "{name} {ip}");
        }
    }
    call("del").run().succeeded();
    for ip in &own {
        if iptables {
            assert_eq!(about(NATIVE, &ip.to_string()), [""; 0], "{name} {ip}");
        }
    }
    assert_eq!(elements(lab), [""; 0]);
    let bridge = list["plugins"][0]["bridge"].as_str().unwrap();
    lab.rtnl()
        .link_by_name(bridge)
        .unwrap()
        .unwrap()
        .delete()
        .unwrap();
    assert_eq!(Snapshot::of_host(lab), before);
}

#[test]
fn podman_nerdctl_and_nomad_are_served() {
    for (name, iptables) in [("podman", false), ("nerdctl", false), ("nomad", true)] {
        in_lab(LINKSPAN, |lab| {
            if iptables && skip::without("iptables-restore").is_none() {
                return;
            }
            serves(lab, name, iptables && saved(NATIVE).is_some());
        });
    }
}
