//! The permitted output of a plugin, for any input.

use linkspan_plugin::serve::Stdin;
use linkspan_plugin::{Entry, Reply};
use linkspan_protocol::env::Env;
use linkspan_protocol::json::Json;
use linkspan_protocol::wire;
use serde_json::{Map, Value};

/// A path that does not exist and cannot be created.
pub(crate) const NOWHERE: &str = "/nonexistent";

/// The environment of an attachment without a namespace, and without a plugin to delegate to.
pub(crate) fn nowhere(verb: &str) -> Env {
    Env {
        command: verb.to_owned(),
        container_id: "pod".to_owned(),
        netns: format!("{NOWHERE}/netns"),
        ifname: "eth0".to_owned(),
        path: NOWHERE.to_owned(),
        ..Env::default()
    }
}

/// Serves a call, and judges the reply.
pub(crate) fn serve(entry: &Entry, env: &Env, stdin: &[u8]) -> Reply {
    let read: Stdin<'_> = &mut || Ok(stdin.to_vec());
    let reply = entry.serve(env, read);
    judge(&reply, env);
    reply
}

fn judge(reply: &Reply, env: &Env) {
    if env.command.is_empty() {
        assert!(reply.ok && reply.stdout.is_empty(), "{reply:?}");
        return;
    }
    match reply.stderr.strip_suffix('\n') {
        // GC explains that it collects nothing.
        Some(told) if reply.ok && env.command == "GC" => one_line(told),
        _ => assert_eq!(reply.stderr, ""),
    }
    match (reply.ok, &*env.command) {
        (false, _) => refusal(&object(&reply.stdout)),
        (true, "ADD") => {
            let json = Json::parse(&reply.stdout).unwrap();
            wire::decode(&json, "").expect("a result of a version that it tells");
        }
        (true, "VERSION") => {
            let versions = object(&reply.stdout);
            assert!(versions["supportedVersions"].is_array(), "{versions:?}");
        }
        (true, _) => assert_eq!(reply.stdout, b""),
    }
}

/// The single object in the bytes.
fn object(stdout: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(stdout)
        .unwrap_or_else(|err| panic!("{err}: {}", String::from_utf8_lossy(stdout)))
}

/// Verifies an error object of the spec.
fn refusal(error: &Map<String, Value>) {
    for (key, value) in error {
        match key.as_str() {
            "code" => assert!(value.as_u64().is_some_and(|code| code > 0), "{error:?}"),
            "msg" | "details" => one_line(value.as_str().unwrap()),
            _ => panic!("{key} in {error:?}"),
        }
    }
    assert!(
        error.contains_key("code") && error.contains_key("msg"),
        "{error:?}"
    );
}

/// Verifies a text of one line.
pub(crate) fn one_line(text: &str) {
    assert!(!text.is_empty() && !text.contains(['\n', '\r']), "{text:?}");
}
