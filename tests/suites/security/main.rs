//! What somebody hostile could put in the way of a plugin, and what a plugin must not tell, a subject to a file.
//! SECURITY.md says against whom.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capabilities;
mod modes;
mod secrets;
mod store;
mod types;

use std::fs;

use linkspan_harness::lab::in_lab;
use linkspan_harness::trial::Trial;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

#[test]
fn what_hides_the_kernels_sysctls_is_not_written_to() {
    in_lab(LINKSPAN, |lab| {
        let empty = lab.dir().join("empty");
        fs::create_dir(&empty).unwrap();
        let fake = lab.dir().join("fake");
        let switch = fake.join("net/ipv4/ip_forward");
        fs::create_dir_all(switch.parent().unwrap()).unwrap();
        fs::write(&switch, "0").unwrap();
        let trial = Trial::new(lab);
        for over in [&empty, &fake] {
            let script = "mount --bind \"$0\" /proc/sys && exec \"$@\"";
            let hidden = ["unshare", "-m", "sh", "-c", script, over.to_str().unwrap()];
            for plugin in ["bridge", "ptp"] {
                let add = trial.call(plugin, "ADD", &json!({})).under(&hidden);
                let told = add.run().failed(999);
                assert!(told.contains("else than procfs"), "{told}");
                // A bridge is everybody's, so it stays; nobody has set it up.
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
