//! The bundled runtime as its users see it, a subject to a file.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds some processes itself"
)]

mod chain;
mod check;
mod cnitool;
mod demo;
mod directory;
mod gc;
mod given;
mod holder;
mod install;
mod life;
mod listing;
mod oci_hook;
mod ports;
mod restore;
mod run;
mod signals;
mod usage;
mod validate;
mod verdicts;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, Sandbox};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf-examples");

/// A directory with one list of `plugins`, named `net`.
fn net_dir(lab: &Lab, plugins: &Value) -> PathBuf {
    let dir = lab.dir().join("net.d");
    fs::create_dir_all(&dir).unwrap();
    let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
    fs::write(dir.join("10-net.conflist"), list.to_string()).unwrap();
    dir
}

/// The runtime with all directories below the lab.
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

/// The lists among the examples; beside them are templates.
fn examples() -> Vec<String> {
    let mut names = files(EXAMPLES.as_ref());
    names.retain(|name| name.ends_with(".conflist"));
    assert!(names.len() > 10, "{names:?}");
    names
}

fn remembered(lab: &Lab) -> Vec<String> {
    files(&lab.dir().join("cache/results"))
}

/// `verb` of the container `c1` in the sandbox.
fn attached(lab: &Lab, verb: &str, sandbox: &Sandbox) -> Call {
    linkspan(lab, &[verb, "net", &sandbox.path(), "--container-id", "c1"])
}
