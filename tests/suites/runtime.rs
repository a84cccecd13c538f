//! The bundled runtime: its demonstration, its command line, its cache, its installer.
//!
//! Longer than 400 lines, as it holds one test per promise of the command line, over the same few helpers.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds some processes itself"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, PLUGINS, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A directory with one list of `plugins`, named `net`.
fn net_dir(lab: &Lab, plugins: &Value) -> PathBuf {
    let dir = lab.dir().join("net.d");
    fs::create_dir_all(&dir).unwrap();
    let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
    fs::write(dir.join("10-net.conflist"), list.to_string()).unwrap();
    dir
}

/// The runtime with every place of its own below the lab.
fn linkspan(lab: &Lab, args: &[&str]) -> Call {
    let tmp = lab.dir().join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    lab.linkspan(&["--cache-dir", &text(&lab.dir().join("cache"))])
        .args(&["--net-dir", &text(&lab.dir().join("net.d"))])
        .args(args)
        .env("CNI_PATH", &text(&lab.bin()))
        .env("TMPDIR", &text(&tmp))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn remembered(lab: &Lab) -> Vec<String> {
    files(&lab.dir().join("cache/results"))
}

#[test]
fn the_demonstration_proves_its_claims_and_leaves_nothing() {
    in_lab(LINKSPAN, |lab| {
        let before = Snapshot::of_host(lab);
        let demo = linkspan(lab, &["demo"]).run();
        let told = demo.succeeded();
        for claim in [
            "address 10.88.0.2/16, gateway 10.88.0.1",
            "address fd88::3/64, gateway fd88::1",
            "route ::/0 via fd88::1",
            "pod-a -> pod-b 10.88.0.3: ok",
            "pod-b -> pod-a fd88::2: ok",
            "pod-b -> gateway fd88::1: ok",
            "CHECK pod-b: ok",
            "namespaces are gone",
        ] {
            assert!(told.contains(claim), "{claim:?} is missing in {told}");
        }
        assert_eq!(Snapshot::of_host(lab), before);
        assert_eq!(files(&lab.dir().join("tmp")), [""; 0]);
    });
}

#[test]
fn a_demonstration_that_cannot_run_says_so() {
    in_lab(LINKSPAN, |lab| {
        let demo = linkspan(lab, &["demo"]).env("TMPDIR", "/nonexistent").run();
        assert_eq!(demo.status, 1);
        assert!(demo.stderr.contains("/nonexistent"), "{}", demo.stderr);
    });
}

#[test]
fn a_command_runs_attached_and_its_status_is_ours() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let run =
            |script: &str| linkspan(lab, &["run", "--net", "net", "--", "sh", "-c", script]).run();
        assert_eq!(run("exit 7").status, 7);
        assert_eq!(run("kill -KILL $$").status, 137);
        let seen = run("cat /proc/net/dev /proc/net/if_inet6");
        assert!(seen.succeeded().contains("eth0:"), "{}", seen.stdout);
        assert!(seen.stdout.contains("lo\n"), "{}", seen.stdout);
        assert_eq!(
            linkspan(lab, &["run", "--net", "net", "--", "/nonexistent"])
                .run()
                .status,
            127
        );
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn a_signal_reaches_the_command_and_the_attachment_is_undone() {
    in_lab(LINKSPAN, |lab| {
        let dir = net_dir(lab, &json!([bridge(lab, &json!({}))]));
        for (script, signal, status) in [
            ("echo up; exec sleep 1000", Signal::SIGTERM, 128 + 15),
            (
                "trap 'exit 3' INT; echo up; while :; do read x; done",
                Signal::SIGINT,
                3,
            ),
        ] {
            let mut child = Command::new(LINKSPAN)
                .args([
                    "--cache-dir",
                    &text(&lab.dir().join("cache")),
                    "--net-dir",
                    &text(&dir),
                ])
                .args(["run", "--net", "net", "--", "sh", "-c", script])
                .env("CNI_PATH", lab.bin())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            assert_eq!(line, "up\n");
            assert_eq!(lab.leased("net").len(), 2);
            // The input stays open, so that it is the signal which ends the loop.
            let input = child.stdin.take();
            kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
            let ended = child.wait().unwrap();
            drop(input);
            assert_eq!((ended.code(), ended.signal()), (Some(status), None));
            assert_eq!(lab.leased("net"), [""; 0]);
            assert_eq!(remembered(lab), [""; 0]);
        }
    });
}

#[test]
fn a_command_that_cannot_be_attached_is_not_run() {
    in_lab(LINKSPAN, |lab| {
        net_dir(
            lab,
            &json!([bridge(lab, &json!({})), { "type": "missing" }]),
        );
        let before = Snapshot::of_host(lab);
        let run = linkspan(lab, &["run", "--net", "net", "--", "echo", "ran"]).run();
        assert_eq!((run.status, &*run.stdout), (125, ""));
        assert!(
            run.stderr.contains("failed to find plugin \"missing\""),
            "{}",
            run.stderr
        );
        assert_eq!(Snapshot::of_host(lab), before);
        let run = linkspan(lab, &["run", "--net", "other", "--", "true"]).run();
        assert_eq!(run.status, 125);
        assert!(
            run.stderr
                .contains("no net configuration with name \"other\""),
            "{}",
            run.stderr
        );
    });
}

fn attached(lab: &Lab, verb: &str, sandbox: &Sandbox) -> Call {
    linkspan(lab, &[verb, "net", &sandbox.path(), "--container-id", "c1"])
}

#[test]
fn each_plugin_sees_the_result_before_it_and_del_sees_the_last() {
    in_lab(LINKSPAN, |lab| {
        let dir = net_dir(
            lab,
            &json!([bridge(lab, &json!({})), { "type": "loopback" }]),
        );
        let sandbox = lab.sandbox();
        let result = attached(lab, "add", &sandbox).run().json();
        // loopback passes on what it was given, so what comes out went through the whole list.
        assert_eq!(result["ips"][0]["address"], "10.1.0.2/16");
        assert_eq!(remembered(lab), ["net-c1-eth0"]);
        attached(lab, "check", &sandbox).run().succeeded();

        let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        eth0.del_addr("10.1.0.2".parse().unwrap(), 16).unwrap();
        let check = attached(lab, "check", &sandbox).run();
        assert_eq!(check.status, 1);
        assert!(check.stderr.contains("10.1.0.2/16"), "{}", check.stderr);

        // The configuration is remembered, too.
        fs::remove_dir_all(dir).unwrap();
        attached(lab, "del", &sandbox).run().succeeded();
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
        assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
    });
}

#[test]
fn a_failing_plugin_undoes_the_ones_before_it_but_not_a_live_attachment() {
    in_lab(LINKSPAN, |lab| {
        let good = bridge(lab, &json!({}));
        net_dir(lab, &json!([good]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let live = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let again = attached(lab, "add", &sandbox).run();
        assert_eq!(again.status, 1);
        assert!(
            again.stderr.contains("plugin type=\"bridge\""),
            "{}",
            again.stderr
        );
        assert_eq!(
            (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox)),
            live
        );

        let other = lab.sandbox();
        for (second, complaint) in [
            (
                json!({ "type": "../bridge" }),
                "invalid plugin name: ../bridge",
            ),
            // It fails only when the first one is done.
            (
                json!({ "type": "host-local" }),
                "plugin type=\"host-local\" failed (add)",
            ),
        ] {
            net_dir(lab, &json!([good, second]));
            let add = linkspan(lab, &["add", "net", &other.path()]).run();
            assert_eq!(add.status, 1);
            assert!(add.stderr.contains(complaint), "{}", add.stderr);
            assert_eq!(
                (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox)),
                live
            );
        }
        assert!(other.rtnl().link_by_name("eth0").unwrap().is_none());
    });
}

#[test]
fn a_broken_cache_does_not_stop_del() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let entry = lab.dir().join("cache/results/net-c1-eth0");
        let half = fs::read(&entry).unwrap();
        fs::write(&entry, &half[..half.len() / 2]).unwrap();
        assert_eq!(attached(lab, "check", &sandbox).run().status, 1);
        for _ in 0..2 {
            attached(lab, "del", &sandbox).run().succeeded();
        }
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn capabilities_and_arguments_reach_the_plugins_and_are_remembered() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "capabilities": { "mac": true } });
        net_dir(lab, &json!([bridge(lab, &over)]));
        let sandbox = lab.sandbox();
        let add = attached(lab, "add", &sandbox)
            .env("CAP_ARGS", r#"{"mac":"02:00:00:00:00:07","bandwidth":{}}"#)
            .env("CNI_ARGS", "IgnoreUnknown=1;IP=10.1.0.77");
        let result = add.run().json();
        assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:07");
        assert_eq!(result["ips"][0]["address"], "10.1.0.77/16");
        let entry = fs::read(lab.dir().join("cache/results/net-c1-eth0")).unwrap();
        let entry: Value = serde_json::from_slice(&entry).unwrap();
        assert_eq!(
            entry["cniArgs"],
            json!([["IgnoreUnknown", "1"], ["IP", "10.1.0.77"]])
        );
        assert_eq!(entry["capabilityArgs"]["bandwidth"], json!({}));
        assert_eq!(entry["result"], result);
        attached(lab, "del", &sandbox).run().succeeded();
        let bad = attached(lab, "add", &sandbox).env("CNI_ARGS", "A").run();
        assert!(
            bad.stderr.contains("invalid CNI_ARGS pair \"A\""),
            "{}",
            bad.stderr
        );
    });
}

#[test]
fn an_old_list_gets_no_previous_result() {
    in_lab(LINKSPAN, |lab| {
        let dir = net_dir(lab, &json!([]));
        let conf = with(bridge(lab, &json!({})), &json!({ "cniVersion": null }));
        let list = json!({ "cniVersion": "0.3.1", "name": "net", "plugins": [conf] });
        fs::write(dir.join("10-net.conflist"), list.to_string()).unwrap();
        let sandbox = lab.sandbox();
        let result = attached(lab, "add", &sandbox).run().json();
        assert_eq!(result["cniVersion"], "0.3.1");
        let check = attached(lab, "check", &sandbox).run();
        assert!(
            check.stderr.contains("does not support the CHECK command"),
            "{}",
            check.stderr
        );
        attached(lab, "del", &sandbox).run().succeeded();
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}

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

#[test]
fn named_namespaces_are_those_of_ip_netns() {
    in_lab(LINKSPAN, |lab| {
        // A mount namespace of its own: the machine's /run is not touched.
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
        let done = Command::new("unshare")
            .args(["-m", "sh", "-c", script, LINKSPAN])
            .env("NETCONFPATH", &net_d)
            .env("CACHE", lab.dir().join("cache"))
            .env("CNI_PATH", lab.bin())
            .output()
            .unwrap();
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
