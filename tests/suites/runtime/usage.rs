//! Named namespaces, and the command line itself.

use std::fs;
use std::process::Command;

use linkspan_harness::forks;
use linkspan_harness::lab::{PLUGINS, in_lab};
use serde_json::json;

use crate::{LINKSPAN, linkspan};

#[test]
fn named_namespaces_are_those_of_ip_netns() {
    in_lab(LINKSPAN, |lab| {
        // A separate mount namespace: the machine's /run stays unchanged.
        let script = r#"
            mount -t tmpfs none /run && "$0" netns add b && "$0" netns add a && "$0" netns list || exit 9
            "$0" netns add a 2>&1 && exit 8
            "$0" netns add ../a 2>&1 && exit 8
            "$0" --cache-dir "$CACHE" add net a >/dev/null || exit 7
            "$0" --cache-dir "$CACHE" del net a && "$0" netns del a && "$0" netns list && "$0" netns del a"#;
        let list =
            json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "loopback" }] });
        let net_d = lab.dir().join("net.d");
        fs::create_dir(&net_d).unwrap();
        fs::write(net_d.join("net.conflist"), list.to_string()).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", script, LINKSPAN])
            .env("NETCONFPATH", &net_d)
            .env("CACHE", lab.dir().join("cache"))
            .env("CNI_PATH", lab.bin());
        let done = forks::output(&mut command).unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        let expected = [
            "/run/netns/b",
            "/run/netns/a",
            "a",
            "b",
            "linkspan: create netns a: file exists",
            "linkspan: name netns \"../a\": invalid argument",
            "b",
        ];
        let complaint = String::from_utf8(done.stderr).unwrap();
        assert_eq!(lines, expected, "{complaint}");
        assert_eq!(
            complaint,
            "linkspan: delete netns a: no such file or directory\n"
        );
    });
}

#[test]
fn wrong_usage_is_explained() {
    in_lab(LINKSPAN, |lab| {
        for (args, expected) in [
            (&["fly"][..], "unrecognized subcommand 'fly'"),
            (&["run", "--net", "n"], "<CMD>"),
            (
                &["run", "--net", "n", "--conf", "f", "--", "true"],
                "cannot be used with",
            ),
            (&["add", "net"], "<NETNS>"),
        ] {
            let told = linkspan(lab, args).run();
            assert_eq!(told.status, 2, "{args:?}");
            assert!(told.stderr.contains(expected), "{args:?}: {}", told.stderr);
        }
        let version = linkspan(lab, &["version"]).run();
        for name in PLUGINS {
            assert!(version.succeeded().contains(name), "{name}");
        }
    });
}
