//! `linkspan install`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{PLUGINS, in_lab};
use serde_json::json;

use crate::{LINKSPAN, files, linkspan, text};

#[test]
fn install_makes_one_copy_with_a_link_for_each_plugin() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt/cni/bin");
        let install = || {
            linkspan(lab, &["install", &text(&dir)])
                .run()
                .succeeded()
                .to_owned()
        };
        assert_eq!(install().lines().count(), PLUGINS.len() + 1);
        let inode = |name: &str| fs::symlink_metadata(dir.join(name)).unwrap().ino();
        let first = inode("linkspan");
        assert!(PLUGINS.iter().all(|name| inode(name) == first));
        assert!(install().contains("is up to date"));
        assert_eq!(inode("linkspan"), first);
        // Another suite's file gives way; what is not ours stays.
        fs::remove_file(dir.join("bridge")).unwrap();
        fs::write(dir.join("bridge"), "another").unwrap();
        fs::write(dir.join("dhcp"), "kept").unwrap();
        assert_eq!(
            install(),
            format!("installed {}\n", text(&dir.join("bridge")))
        );
        assert_eq!(inode("bridge"), first);
        assert_eq!(fs::read(dir.join("dhcp")).unwrap(), b"kept");
        assert_eq!(files(&dir).len(), PLUGINS.len() + 2);
    });
}

#[test]
fn install_is_safe_while_a_plugin_runs() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("opt");
        fs::create_dir(&dir).unwrap();
        let older = dir.join("linkspan");
        let mut bytes = fs::read(LINKSPAN).unwrap();
        bytes.push(0);
        fs::write(&older, bytes).unwrap();
        fs::set_permissions(&older, fs::metadata(LINKSPAN).unwrap().permissions()).unwrap();
        fs::hard_link(&older, dir.join("host-local")).unwrap();
        let conf = bridge(lab, &json!({ "type": "host-local" }));
        let mut running = Command::new(dir.join("host-local"))
            .envs([
                ("CNI_COMMAND", "ADD"),
                ("CNI_CONTAINERID", "c"),
                ("CNI_IFNAME", "eth0"),
            ])
            .envs([("CNI_NETNS", "/none"), ("CNI_PATH", "/none")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It now waits for its configuration, from a file that is being replaced.
        let told = linkspan(lab, &["install", &text(&dir)]).run();
        assert_eq!(told.succeeded().lines().count(), PLUGINS.len() + 1);
        let mut stdin = running.stdin.take().unwrap();
        stdin.write_all(conf.to_string().as_bytes()).unwrap();
        drop(stdin);
        assert!(running.wait_with_output().unwrap().status.success());
        assert_eq!(lab.leased("net").len(), 2);
    });
}
