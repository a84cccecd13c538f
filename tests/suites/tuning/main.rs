//! `tuning`: sysctls and settings of an interface, which DEL restores, by either suite and in any order.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod device;
mod list;
mod property;
mod refusal;
mod restore;
mod swap;

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_netlink::settings::Settings;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn conf(lab: &Lab, over: &Value) -> Value {
    let base = json!({
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "tuning",
        "dataDir": lab.dir().join("tuning"),
    });
    with(base, over)
}

/// The interface plugin of the container.
fn pair(lab: &Lab, sandbox: &Sandbox) -> Call {
    let address = json!({ "address": "10.1.0.7/24", "gateway": "10.1.0.1" });
    let conf = json!({
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "ptp",
        "ipam": { "type": "static", "addresses": [address] },
    });
    lab.plugin("ptp").of("pod", sandbox).conf(&conf)
}

/// A container with an interface, and the interface plugin's result.
fn attached(lab: &Lab, sandbox: &Sandbox) -> Value {
    pair(lab, sandbox).add()
}

/// A call of tuning after the plugin with the result `previous`.
fn call(lab: &Lab, sandbox: &Sandbox, previous: &Value, over: &Value) -> Call {
    let call = lab.plugin("tuning").of("pod", sandbox);
    call.conf(&conf(lab, over)).after(previous)
}

fn settings(sandbox: &Sandbox) -> Settings {
    let link = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
    link.settings().unwrap().unwrap()
}

/// The value of a sysctl in the container.
fn sysctl(sandbox: &Sandbox, key: &str) -> String {
    let read = || fs::read_to_string(format!("/proc/sys/{key}")).unwrap();
    sandbox.netns.scope(read).unwrap().trim().to_owned()
}

/// The files below `dataDir`, sorted.
fn files(lab: &Lab) -> Vec<String> {
    let mut names = Vec::new();
    for dir in ["tuning", "tuning/.linkspan"] {
        for entry in fs::read_dir(lab.dir().join(dir)).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                names.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    names.sort();
    names
}

/// Every setting of a link, with values other than the defaults.
fn every() -> Value {
    json!({
        "mac": "C2:11:22:33:44:55",
        "promisc": true,
        "mtu": 1454,
        "allmulti": true,
        "txQLen": 0,
    })
}
