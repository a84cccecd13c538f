//! A plugin that panics: its process prints a CNI error and exits with 1, so that a runtime has something to show.
//!
//! It runs without the test harness, as it is that plugin when it executes itself.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and executes itself as a plugin with a bug"
)]

use std::io::Write;
use std::process::{Command, ExitCode, Output, Stdio};

use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, Plugin, Result, StatusCall, Undo, process,
};
use linkspan_protocol::json::Json;
use linkspan_protocol::result::AddResult;
use serde::Deserialize;

static ENTRY: Entry = Entry::of::<Buggy>();

struct Buggy;

#[derive(Deserialize)]
struct Conf {}

impl Plugin for Buggy {
    type Conf = Conf;
    type Plan = ();
    const NAMES: &'static [&'static str] = &["buggy"];

    fn plan(_call: &Call, _conf: Conf) -> Result<()> {
        Ok(())
    }

    fn add(_call: &AddCall, (): (), _undo: &mut Undo) -> Result<AddResult> {
        panic!("no addition")
    }

    fn del(_call: &DelCall, _conf: Conf) -> Result<()> {
        panic!("no deletion")
    }

    fn check(_call: &CheckCall, (): ()) -> Result<()> {
        panic!("no\nchecks")
    }

    fn status(_call: &StatusCall, (): ()) -> Result<()> {
        panic!("no status")
    }
}

fn main() -> ExitCode {
    if std::env::var_os("CNI_COMMAND").is_some() {
        return process::run(&ENTRY);
    }
    for (verb, says) in [
        ("ADD", "no addition"),
        ("DEL", "no deletion"),
        ("CHECK", "no checks"),
        ("STATUS", "no status"),
    ] {
        let output = run(verb);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let error = Json::parse(&output.stdout).unwrap();
        assert_eq!(error.get("code"), Json::parse(b"999").ok().as_ref());
        let message = error.get("msg").and_then(Json::as_str).unwrap();
        assert!(message.starts_with("bug: "), "{message}");
        assert!(message.contains(says), "{message}");
    }
    ExitCode::SUCCESS
}

/// This very program as the plugin.
fn run(verb: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env_clear()
        .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", "pod")])
        .envs([("CNI_NETNS", "/nowhere"), ("CNI_IFNAME", "eth0")])
        .env("CNI_PATH", "/nowhere")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let conf = br#"{"cniVersion":"1.1.0","name":"net"}"#;
    child.stdin.take().unwrap().write_all(conf).unwrap();
    child.wait_with_output().unwrap()
}
