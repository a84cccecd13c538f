//! Input that nobody means well, to real processes: whatever it is, each ends by itself with status 0 or 1, and says one
//! JSON object or, where a verb has nothing to say, nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and gives a process what no harness would"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use linkspan_harness::conf::good;
use linkspan_harness::lab::{Lab, PLUGINS, Sandbox, in_lab};
use linkspan_harness::thorough::sample;
use linkspan_harness::{figure, forks};
use serde_json::{Map, Value};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const VERBS: [&str; 7] = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION", "FOO"];

/// Runs one call, and judges what came of it.
fn judged(lab: &Lab, sandbox: &Sandbox, call: (&str, &str), stdin: &[u8], over: (&str, &[u8])) {
    let (plugin, verb) = call;
    let input = lab.dir().join("input");
    fs::write(&input, stdin).unwrap();
    let mut command = Command::new("timeout");
    command
        .arg("20")
        .arg(lab.bin().join(plugin))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "pod")
        .env("CNI_NETNS", sandbox.path())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", lab.bin())
        .env(over.0, OsStr::from_bytes(over.1))
        .stdin(File::open(&input).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = forks::start(&mut command).and_then(Child::wait_with_output);
    let run = run.unwrap();
    let head = &stdin[..stdin.len().min(80)];
    let what = format!("{plugin} {verb} {} <<< {}", over.0, head.escape_ascii());
    let told = format!("{what}: {run:?}");
    let object = || serde_json::from_slice::<Map<String, Value>>(&run.stdout);
    match run.status.code() {
        Some(1) => {
            let error = object().expect(&told);
            assert!(
                error["code"].as_u64().is_some_and(|code| code > 0),
                "{told}"
            );
            let msg = error["msg"].as_str().expect(&told);
            assert!(!msg.is_empty() && !msg.contains('\n'), "{told}");
            assert!(!msg.contains("bug: "), "{told}");
        }
        Some(0) if verb == "ADD" || verb == "VERSION" => {
            assert!(object().expect(&told).contains_key("cniVersion"), "{told}");
        }
        Some(0) => assert!(run.stdout.is_empty(), "{told}"),
        _ => panic!("{told}"),
    }
}

/// Inputs that are the same for every plugin.
fn inputs() -> Vec<Vec<u8>> {
    let about = |value: &str| {
        let head = r#"{"cniVersion":"1.1.0","name":"net","type":"any","ipam":"#;
        format!("{head}{value}}}").into_bytes()
    };
    let nested =
        |open: &str, close: &str| about(&(open.repeat(50_000) + "1" + &close.repeat(50_000)));
    vec![
        b"\0".to_vec(),
        vec![0xff; 4096],
        vec![b' '; 1 << 20],
        b"{\"cniVersion\":\"1.1.0\",\"name\":\"\xff\xfe\"}".to_vec(),
        about(&format!("{:?}", "a".repeat(1 << 20))),
        about(&format!("[{}1]", "1,".repeat(1 << 19))),
        about("1e999999"),
        about(r#"{"type":"\u0000\ud800"}"#),
        about(r#"{"type":"../../bin/true"}"#),
        nested("[", "]"),
        nested("{\"a\":", "}"),
        "[".repeat(1 << 20).into_bytes(),
    ]
}

#[test]
fn no_stdin_makes_a_plugin_crash_hang_or_babble() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let mut calls = 0;
        for (at, stdin) in inputs().iter().enumerate() {
            // All verbs read a large input in one way, and slowly in a build without optimisation.
            let (verbs, seldom) = if stdin.len() > 10_000 {
                (&VERBS[..1], PLUGINS.len())
            } else {
                (&VERBS[..], 3)
            };
            for plugin in sample(PLUGINS.iter(), at * 5, seldom) {
                for verb in verbs {
                    judged(lab, &sandbox, (plugin, verb), stdin, ("CNI_ARGS", b""));
                    calls += 1;
                }
            }
        }
        figure::tell(&format!("hostile input: stdin of processes: {calls} calls"));
    });
}

#[test]
fn no_environment_makes_a_plugin_crash_hang_or_babble() {
    let long = "a".repeat(100_000);
    let ignored = format!("IgnoreUnknown=1;A={long}");
    let values: [(&str, &[u8]); 9] = [
        ("CNI_COMMAND", b"\xff\xfe"),
        ("CNI_CONTAINERID", long.as_bytes()),
        ("CNI_CONTAINERID", b"pod\xff"),
        ("CNI_IFNAME", long.as_bytes()),
        ("CNI_IFNAME", b"e\x80th"),
        ("CNI_NETNS", long.as_bytes()),
        ("CNI_NETNS", b"/proc/\xff"),
        ("CNI_PATH", long.as_bytes()),
        ("CNI_ARGS", ignored.as_bytes()),
    ];
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let mut calls = 0;
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            let stdin = good(lab, plugin).to_string().into_bytes();
            for (at, over) in values.into_iter().enumerate() {
                for verb in sample(VERBS.iter(), nth + at, VERBS.len()) {
                    judged(lab, &sandbox, (plugin, verb), &stdin, over);
                    calls += 1;
                }
            }
        }
        figure::tell(&format!(
            "hostile input: environments of processes: {calls} calls"
        ));
    });
}
