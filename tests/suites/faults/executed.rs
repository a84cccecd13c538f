//! The same for plugins that execute something: their IPAM plugin.

use std::fs;

use linkspan_harness::lab::Lab;

use crate::aftermath::withstands;
use crate::site::{Case, stand_in};
use crate::{DUAL, V4, on_bridge, pair};

/// What the plugins find in their environment.
type Environment = Vec<(&'static str, String)>;

fn delegates_are_executed(_: &Lab) -> Environment {
    vec![("LINKSPAN_DELEGATE", "exec".to_owned())]
}

/// A stand-in for `host-local` in `CNI_PATH`, which is not our inode and is executed therefore.
fn host_local_dies(lab: &Lab) -> Environment {
    let path = lab.bin().join("host-local");
    let real = lab.dir().join("host-local");
    fs::rename(&path, &real).unwrap();
    stand_in(lab, path, &real);
    Vec::new()
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
