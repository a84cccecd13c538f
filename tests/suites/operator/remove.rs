//! `linkspan clear`, `uninstall` and `install`: living attachments lose nothing, and a wrong directory is reported.

use std::fs;
use std::path::Path;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{PLUGINS, in_lab};
use serde_json::json;

use crate::{LINKSPAN, Node};

#[test]
fn nothing_is_cleared_that_a_living_attachment_needs() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let clear = |args: &[&str]| node.call(&[&["clear"], args].concat()).run();
        let told = clear(&[]);
        assert_eq!(told.status, 1);
        for part in [
            "1 living attachments need",
            "container c1 (prod/web-0) in the network net",
            "--force",
        ] {
            assert!(told.stderr.contains(part), "{}", told.stderr);
        }
        assert!(
            clear(&["--dry-run"])
                .succeeded()
                .contains("1 living attachments need it")
        );
        node.call(&["check", "c1"]).run().succeeded();
        assert!(
            clear(&["--force"])
                .succeeded()
                .contains("have lost their ports")
        );
        node.call(&["del", "c1"]).run().succeeded();
        assert_eq!(clear(&[]).succeeded(), "there is nothing to remove\n");
    });
}

#[test]
fn uninstall_removes_what_install_made_and_no_other_file() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let dir = node.path("opt/cni/bin");
        let refused = node.call(&["install", &dir]).run();
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains("-p"), "{}", refused.stderr);
        assert!(!Path::new(&dir).exists());
        node.call(&["install", "-p", &dir]).run().succeeded();
        let path = |name: &str| Path::new(&dir).join(name);
        // Another suite's plugin, and a replaced one of ours.
        fs::write(path("calico"), "kept").unwrap();
        fs::remove_file(path("bridge")).unwrap();
        fs::write(path("bridge"), "kept").unwrap();
        let uninstall = |args: &[&str]| node.call(&[&["uninstall", &dir], args].concat()).run();
        let list = Path::new(&node.path("net.d")).join("10-net.conflist");
        let told = uninstall(&["--conflist", "10-net.conflist"]);
        assert!(told.status == 1 && list.exists());
        let outside = uninstall(&["--conflist", "../net.d/10-net.conflist", "--dry-run"]);
        assert!(
            outside.stderr.contains("is not the name of a file"),
            "{}",
            outside.stderr
        );
        let told = uninstall(&[]);
        assert_eq!(told.status, 1);
        assert!(
            told.stderr
                .contains("1 living attachments need the plugins"),
            "{}",
            told.stderr
        );
        let dry = uninstall(&["--dry-run"]);
        assert_eq!(dry.succeeded().lines().count(), PLUGINS.len());
        assert!(path("portmap").exists());
        node.call(&["del", "c1"]).run().succeeded();
        let told = uninstall(&["--conflist", "10-net.conflist"]);
        assert_eq!(told.succeeded().lines().count(), PLUGINS.len() + 1);
        assert!(!list.exists());
        let mut left: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["bridge", "calico"]);
        assert!(
            uninstall(&[])
                .succeeded()
                .contains("has no plugins of this suite")
        );
    });
}

#[test]
fn install_warns_of_a_file_that_engines_use_instead() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let ipam =
            json!({ "type": "host-local", "dataDir": lab.leases(), "subnet": "10.9.0.0/16" });
        let plugin = bridge(lab, &json!({ "bridge": "br9", "ipam": ipam }));
        let list = json!({ "cniVersion": "1.1.0", "name": "other", "plugins": [plugin] });
        let file = node.path("20-other.conflist");
        fs::write(&file, list.to_string()).unwrap();
        let dir = node.path("opt");
        let install = || {
            node.call(&["install", "-p", &dir, "--conflist", &file])
                .run()
        };
        let told = install();
        told.succeeded();
        let first = format!("{} comes before ", node.path("net.d/10-net.conflist"));
        assert!(told.stderr.contains(&first), "{}", told.stderr);
        fs::rename(
            node.path("net.d/10-net.conflist"),
            node.path("net.d/30-net.conflist"),
        )
        .unwrap();
        assert_eq!(install().stderr, "");
        let twin = json!([{ "type": "loopback" }]);
        node.write("40-other.conflist", "other", &twin);
        let told = install();
        assert!(
            told.stderr
                .contains("40-other.conflist has the name \"other\", too"),
            "{}",
            told.stderr
        );
    });
}
