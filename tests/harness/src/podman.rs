//! Podman's configuration on a test's node.

use std::fs;

/// For containers without a pod, which need no control groups: the node may lack them.
pub const NO_GROUPS: &str = r#"
[containers]
cgroups = "disabled"
"#;

/// For all commands about pods, which podman does not create without control groups: the OCI runtime does not use
/// them.
pub const UNUSED_GROUPS: [&str; 2] = ["--runtime-flag", "cgroup-manager=disabled"];

/// Replaces only the journal, which the node lacks.
const ENGINE: &str = r#"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
"#;

/// Without layers, which need a separate file system.
const STORAGE: &str = r#"
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"#;

/// Configures podman, with `sections` in addition to the tests' common ones.
pub fn configure(sections: &str) {
    fs::create_dir_all("/etc/containers").unwrap();
    let containers = format!("{sections}{ENGINE}");
    fs::write("/etc/containers/containers.conf", containers).unwrap();
    fs::write("/etc/containers/storage.conf", STORAGE).unwrap();
}
