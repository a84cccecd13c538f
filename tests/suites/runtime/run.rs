//! `linkspan run`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::bridge;
use linkspan_harness::forks;
use linkspan_harness::lab::in_lab;
use linkspan_harness::server::is_published;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::beyond;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
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
            // The input stays open, so the signal ends the loop.
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

/// A run whose command prints its process number and runs until it is killed, with its namespace.
fn lasting(call: Call) -> (Running, Pid, Netns) {
    let mut run = call
        .args(&["--", "sh", "-c", "echo $$; exec sleep 100000"])
        .spawn();
    let pid = run.line();
    let netns = Netns::open(Path::new(&format!("/proc/{pid}/ns/net"))).unwrap();
    (run, Pid::from_raw(pid.parse().unwrap()), netns)
}

#[test]
fn a_run_publishes_ports_and_asks_for_addresses() {
    in_lab(LINKSPAN, |lab| {
        let _world = beyond(lab);
        let capabilities = json!({ "ips": true, "mac": true });
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let over = json!({ "capabilities": capabilities, "hairpinMode": true });
        let hears = bridge(lab, &over);
        net_dir(lab, &json!([hears, portmap]));
        let asked = [
            "-p",
            "8080:80",
            "--publish",
            "8080:80/udp",
            "--ip",
            "10.1.0.77",
            "--ip",
            "fd00:1::77/64",
        ];
        let run =
            linkspan(lab, &["run", "--net", "net", "--mac", "02:00:00:00:00:07"]).args(&asked);
        let (run, command, netns) = lasting(run);
        assert_eq!(lab.leased("net"), ["10.1.0.77", "fd00:1::77"]);
        let rtnl = Rtnl::open(&netns).unwrap();
        let eth0 = rtnl.link_by_name("eth0").unwrap().unwrap();
        assert_eq!(eth0.mac, [2, 0, 0, 0, 0, 7]);
        is_published(lab.host(), &[], &netns, (8080, 80));
        kill(command, Signal::SIGTERM).unwrap();
        assert_eq!(run.wait().status, 128 + 15);
        assert_eq!(linkspan(lab, &["ports", "--json"]).run().json(), json!([]));
        assert_eq!(lab.leased("net"), [""; 0]);
        // A request that no plugin reads is refused before any change.
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        for (wish, says) in [
            (
                ["-p", "8080:80"],
                "no plugin of the network \"net\" publishes ports",
            ),
            (["--ip", "10.1.0.77"], "takes requests for addresses"),
            (["--mac", "02:00:00:00:00:07"], "takes a MAC address"),
            (["--ip", "10.1"], "invalid address \"10.1\""),
            (["-p", "80"], "invalid published port \"80\""),
        ] {
            let run = linkspan(lab, &["run", "--net", "net"]).args(&wish);
            let run = run.args(&["--", "echo", "ran"]).run();
            assert_eq!((run.status, &*run.stdout), (125, ""));
            assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
        }
    });
}

#[test]
fn a_run_without_a_network_uses_the_installed_one_or_one_of_its_own() {
    in_lab(LINKSPAN, |lab| {
        // The leases have a fixed directory, so this runs in separate mount namespaces.
        let script =
            r#"mount -t tmpfs none /var/lib && "$0" "$@" && cd /var/lib/cni/networks && echo *"#;
        let show = "cat /proc/net/fib_trie /proc/net/if_inet6";
        let run = || {
            let call = linkspan(lab, &["run", "--", "sh", "-c", show]);
            call.under(&["unshare", "-m", "sh", "-c", script]).run()
        };
        let links = || {
            let links = lab.rtnl().links().unwrap().into_iter();
            links
                .map(|link| link.name)
                .filter(|name| name != "lo")
                .collect::<Vec<_>>()
        };
        // A network with another name is not the default.
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let told = run();
        let told = told.succeeded();
        assert!(
            told.contains("10.231.88.2") && told.ends_with("\nlinkspan-run\n"),
            "{told}"
        );
        assert!(told.contains("fd4c7e2a91b302310000000000000002"), "{told}");
        assert_eq!(links(), ["linkspan-run0"]);
        // The example with another subnet, installed by the machine's administrator.
        let example = include_str!("../../../conf-examples/bridge.conflist");
        let edited = example
            .replace("10.230.0.0/16", "10.99.0.0/16")
            .replace("fd4c:7e2a:91b3::/64", "fd99::/64");
        let file = lab.dir().join("net.d/20-linkspan.conflist");
        fs::write(&file, edited).unwrap();
        let told = run();
        let told = told.succeeded();
        assert!(
            told.contains("10.99.0.2") && told.ends_with("\nlinkspan\n"),
            "{told}"
        );
        assert_eq!(links(), ["linkspan-run0", "linkspan0"]);
        // An unreadable one is an error.
        fs::write(&file, "{").unwrap();
        assert_eq!(run().status, 125);
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
