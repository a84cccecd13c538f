//! What podman needs to be told on a node of a test.

use std::fs;

/// For containers that are in no pod: they need no control groups, which the node may not have.
pub const NO_GROUPS: &str = r#"
[containers]
cgroups = "disabled"
"#;

/// For all commands about pods, which podman does not make without control groups: the OCI runtime makes no use of them.
pub const UNUSED_GROUPS: [&str; 2] = ["--runtime-flag", "cgroup-manager=disabled"];

/// What the node has not got, and no more: a journal.
const ENGINE: &str = r#"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
"#;

/// Without layers, which want a file system of their own.
const STORAGE: &str = r#"
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"#;

/// Configures it, with `sections` beside what every test needs.
pub fn configure(sections: &str) {
    fs::create_dir_all("/etc/containers").unwrap();
    let containers = format!("{sections}{ENGINE}");
    fs::write("/etc/containers/containers.conf", containers).unwrap();
    fs::write("/etc/containers/storage.conf", STORAGE).unwrap();
}
