//! Output for people: colours on a terminal, lines about plugin calls, and a reader that goes away.

use std::fs;

use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;

use crate::{LINKSPAN, Node};

#[test]
fn a_line_tells_of_each_plugin_call_and_no_value_of_an_argument() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let told = node.call(&["-v", "status", "net"]).run();
        assert!(
            told.succeeded().starts_with("net: ready"),
            "{}",
            told.stdout
        );
        let lines: Vec<&str> = told
            .stderr
            .lines()
            .filter(|line| line.contains("/bin/") && line.contains(" STATUS "))
            .collect();
        assert_eq!(lines.len(), 2, "{}", told.stderr);
        let begin = format!("{}/bridge STATUS ", node.path("bin"));
        assert!(
            lines[0].starts_with(&begin) && lines[0].ends_with(" ms, code 0"),
            "{lines:?}"
        );
        // A plugin's steps are below it.
        let step = |line: &str| line.starts_with("  ipam ") && line.ends_with(" ms");
        assert!(told.stderr.lines().any(step), "{}", told.stderr);
        let told = node.call(&["-vv", "check", "c1"]).run();
        assert!(
            told.stderr.contains("  CNI_CONTAINERID c1\n"),
            "{}",
            told.stderr
        );
        assert!(
            told.stderr
                .contains("  CNI_ARGS IgnoreUnknown;K8S_POD_NAMESPACE;K8S_POD_NAME\n")
        );
        assert!(!told.stderr.contains("web-0"), "{}", told.stderr);
        let missing = node.call(&["-v", "del", "net", &node.pod.path(), "--container-id", "c1"]);
        let told = missing.run();
        assert!(told.stderr.contains("/portmap DEL "), "{}", told.stderr);
    });
}

#[test]
fn a_reader_that_goes_ends_a_command_quietly() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let Some(bash) = skip::without("bash") else {
            return;
        };
        let script = r#""$0" "$@" | true; echo "${PIPESTATUS[0]}""#;
        for args in [
            &["list"][..],
            &["doctor", "--json"],
            &["version"],
            &["completion", "bash"],
        ] {
            let call = node.call(args);
            let told = call.under(&[bash.to_str().unwrap(), "-c", script]).run();
            assert_eq!(told.stderr, "", "{args:?}");
            let status = told.stdout.trim();
            assert!(["0", "141"].contains(&status), "{args:?}: {status}");
        }
        let closed = r#"exec 1> >(exec true); wait $!; exec "$0" "$@""#;
        let told = node
            .call(&["list"])
            .under(&[bash.to_str().unwrap(), "-c", closed])
            .run();
        assert_eq!((told.status, &*told.stderr), (141, ""));
    });
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let link = lab.rtnl().link_by_name("br0").unwrap().unwrap();
        link.set_down().unwrap();
        if skip::without("script").is_none() {
            return;
        }
        // `script` gives the command a terminal.
        let told = |no_color: &str| {
            let call = node
                .call(&["doctor"])
                .env("TERM", "xterm")
                .env("NO_COLOR", no_color);
            let terminal = r#"exec script -qec "$(printf '%q ' "$0" "$@")" /dev/null"#;
            call.under(&["bash", "-c", terminal]).run().stdout
        };
        assert!(
            told("").contains("\u{1b}[31mFAIL\u{1b}[0m bridge-down"),
            "{}",
            told("")
        );
        assert!(!told("1").contains('\u{1b}'), "{}", told("1"));
        assert!(
            !node
                .call(&["doctor"])
                .env("TERM", "xterm")
                .run()
                .stdout
                .contains('\u{1b}')
        );
    });
}

#[test]
fn an_install_on_a_slow_disk_tells_how_far_it_is() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("script").is_none() || !skip::can_trace("install") {
            return;
        }
        let node = Node::empty(lab);
        // Each piece takes so long that all of them take three seconds.
        let pieces = fs::metadata(LINKSPAN).unwrap().len() >> 20;
        let delay = format!("inject=fdatasync:delay_exit={}", 3_000_000 / pieces.max(1));
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync",
            "-e",
            &delay,
        ];
        let terminal = r#"exec script -qec "$(printf '%q ' "$0" "$@")" /dev/null"#;
        let install = node.call(&["install", "-p", &node.path("opt")]);
        let told = install
            .under(&strace)
            .under(&["bash", "-c", terminal])
            .run();
        let told = told.succeeded();
        assert!(told.contains("\rinstalling: KiB "), "{told:?}");
        // The line is gone when all is done.
        let (_, after) = told.rsplit_once("\r\x1b[K").unwrap();
        assert!(after.contains("installed "), "{told:?}");
    });
}
