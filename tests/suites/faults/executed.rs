//! The same for plugins that execute programs: their IPAM plugin, and iptables.

use std::fs;

use linkspan_harness::conf::with;
use linkspan_harness::lab::Lab;
use linkspan_harness::skip;
use linkspan_harness::tool::older_iptables;
use serde_json::{Value, json};

use crate::aftermath::withstands;
use crate::site::{Case, stand_in};
use crate::{DUAL, V4, guarded, on_bridge, pair, ports};

/// The environment of the plugins.
type Environment = Vec<(&'static str, String)>;

fn delegates_are_executed(_: &Lab) -> Environment {
    vec![("LINKSPAN_DELEGATE", "exec".to_owned())]
}

/// A stand-in for `host-local` in `CNI_PATH`. It is not our inode, so it is executed.
fn host_local_dies(lab: &Lab) -> Environment {
    let path = lab.bin().join("host-local");
    let real = lab.dir().join("host-local");
    fs::rename(&path, &real).unwrap();
    stand_in(lab, path, &real);
    Vec::new()
}

/// A directory of programs before those of the system.
fn preferred(dir: &str) -> Environment {
    vec![("PATH", format!("{dir}:/usr/sbin:/sbin:/usr/bin:/bin"))]
}

fn the_older_iptables_is_preferred(lab: &Lab) -> Environment {
    let mut environment = preferred(&older_iptables(lab).unwrap());
    // By default the whole machine shares one lock.
    let lock = lab.dir().join("xtables.lock").display().to_string();
    environment.push(("XTABLES_LOCKFILE", lock));
    environment
}

/// A stand-in for `iptables-restore`.
fn iptables_dies(lab: &Lab) -> Environment {
    let real = skip::without("iptables-restore").unwrap();
    let dir = lab.dir().join("preferred");
    fs::create_dir(&dir).unwrap();
    stand_in(lab, dir.join("iptables-restore"), &real);
    preferred(dir.to_str().unwrap())
}

fn by_iptables(interface: Value) -> Value {
    with(interface, &json!({ "ipMasqBackend": "iptables" }))
}

fn ports_by_iptables(port: u16) -> Value {
    with(ports(port), &json!({ "backend": "iptables" }))
}

fn withstands_with(tool: &str, case: Case) {
    if skip::without(tool).is_some() {
        withstands(case);
    }
}

#[test]
fn a_bridge_that_executes_its_ipam_plugin() {
    let case = Case::first("bridge, IPAM executed", |lab, _| vec![on_bridge(lab, V4)]);
    withstands(case.on(delegates_are_executed));
}

#[test]
fn a_pair_whose_ipam_plugin_dies() {
    let case = Case::first("ptp, IPAM dies", |lab, _| vec![pair(lab, DUAL)]);
    withstands(case.on(host_local_dies).of_child());
}

#[test]
fn a_bridge_by_iptables() {
    let case = Case::first("bridge, iptables", |lab, _| {
        vec![by_iptables(on_bridge(lab, DUAL))]
    });
    withstands_with("iptables-restore", case);
}

#[test]
fn ports_by_the_programs_of_iptables() {
    let case = Case::second("bridge and portmap, iptables", |lab, port| {
        vec![by_iptables(on_bridge(lab, V4)), ports_by_iptables(port)]
    });
    withstands_with("iptables-restore", case);
}

#[test]
fn ports_by_the_older_packet_filter() {
    let case = Case::second("bridge and portmap, iptables-legacy", |lab, port| {
        vec![by_iptables(on_bridge(lab, V4)), ports_by_iptables(port)]
    });
    withstands_with(
        "xtables-legacy-multi",
        case.on(the_older_iptables_is_preferred),
    );
}

#[test]
fn firewall_in_the_older_packet_filter() {
    let case = Case::second("bridge and firewall, iptables-legacy", |lab, _| {
        vec![on_bridge(lab, DUAL), guarded("iptables")]
    });
    withstands_with(
        "xtables-legacy-multi",
        case.on(the_older_iptables_is_preferred),
    );
}

#[test]
fn ports_where_iptables_dies() {
    let case = Case::second("bridge and portmap, iptables dies", |lab, port| {
        vec![by_iptables(on_bridge(lab, V4)), ports_by_iptables(port)]
    });
    withstands_with("iptables-restore", case.on(iptables_dies).of_child());
}
