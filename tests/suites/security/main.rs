//! Attacks on a plugin, and secrets that a plugin must not print, a subject to a file. SECURITY.md names the
//! attackers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capabilities;
mod modes;
mod secrets;
mod store;
mod types;

use std::fs;
use std::path::PathBuf;

use linkspan_harness::conf::good;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use linkspan_harness::trial::Trial;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// Runs a command with a directory over `/proc/sys`.
const HIDE: [&str; 5] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount --bind \"$0\" /proc/sys && exec \"$@\"",
];

/// Makes a command run without its own procfs.
const WITHOUT_ITS_OWN: [&str; 6] = [
    "strace",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "inject=fsopen:error=EPERM",
];

/// A directory that looks like `/proc/sys`, and its switch of forwarding.
fn fake(lab: &Lab) -> (PathBuf, PathBuf) {
    let fake = lab.dir().join("fake");
    let switch = fake.join("net/ipv4/ip_forward");
    fs::create_dir_all(switch.parent().unwrap()).unwrap();
    fs::write(&switch, "0").unwrap();
    (fake, switch)
}

#[test]
fn what_hides_the_kernels_sysctls_is_not_written_to() {
    if !skip::can_trace("plugins without a procfs of their own") {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        let empty = lab.dir().join("empty");
        fs::create_dir(&empty).unwrap();
        let (fake, switch) = fake(lab);
        let trial = Trial::new(lab);
        for over in [&empty, &fake] {
            let hidden = [&HIDE[..], &[over.to_str().unwrap()]].concat();
            for plugin in ["bridge", "ptp"] {
                let add = trial.call(plugin, "ADD", &json!({}));
                let add = add.under(&WITHOUT_ITS_OWN).under(&hidden);
                let told = add.run().failed(999);
                assert!(told.contains("else than procfs"), "{told}");
                // A bridge is shared, so it stays; it was not set up.
                if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
                    assert!(!bridge.up);
                    bridge.delete().unwrap();
                }
                trial.unchanged(plugin);
                assert_eq!(lab.leased("net"), [""; 0]);
            }
        }
        assert_eq!(fs::read_to_string(&switch).unwrap(), "0");
    });
}

#[test]
fn a_procfs_of_ones_own_shows_what_is_hidden_elsewhere() {
    in_lab(LINKSPAN, |lab| {
        let (fake, switch) = fake(lab);
        let hidden = [&HIDE[..], &[fake.to_str().unwrap()]].concat();
        let kernels = "/proc/sys/net/ipv4/ip_forward";
        for plugin in ["bridge", "ptp"] {
            fs::write(kernels, "0").unwrap();
            let sandbox = lab.sandbox();
            let call = lab.plugin(plugin).of("pod", &sandbox);
            let call = call.conf(&good(lab, plugin)).under(&hidden);
            let run = call.clone().verb("ADD").run();
            if run.status != 0 {
                assert!(run.failed(999).contains("else than procfs"));
                return skip::tell("a procfs of one's own: the kernel does not allow one here");
            }
            assert_eq!(fs::read_to_string(kernels).unwrap(), "1\n", "{plugin}");
            assert_eq!(fs::read_to_string(&switch).unwrap(), "0", "{plugin}");
            for link in lab.rtnl().links().unwrap() {
                let accepts = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", link.name);
                if link.kind == "veth" {
                    assert_eq!(fs::read_to_string(accepts).unwrap(), "0\n", "{plugin}");
                }
            }
            call.del();
        }
    });
}
