//! `linkspan run`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use linkspan_harness::conf::bridge;
use linkspan_harness::forks;
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{LINKSPAN, linkspan, net_dir, remembered, text};

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
            let mut command = Command::new(LINKSPAN);
            command
                .args([
                    "--cache-dir",
                    &text(&lab.dir().join("cache")),
                    "--net-dir",
                    &text(&dir),
                ])
                .args(["run", "--net", "net", "--", "sh", "-c", script])
                .env("CNI_PATH", lab.bin())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = forks::start(&mut command).unwrap();
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
