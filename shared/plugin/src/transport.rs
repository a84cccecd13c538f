//! Runs a delegate: as a process, or by a call where the file found is the one that this process executes. Both ways
//! take bytes and give bytes, so only the time differs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use linkspan_invoke::exec;
use linkspan_protocol::env::Env;
use linkspan_protocol::error::{Failure, WireError};
use linkspan_protocol::json::Json;

use crate::{Entry, Result, stderr, telemetry};

/// The plugins in this executable; empty where delegates are always executed.
static HOUSE: OnceLock<&'static [&'static Entry]> = OnceLock::new();

/// Sets the plugins in this executable.
pub(crate) fn at_home(entries: &'static [&'static Entry]) {
    HOUSE.get_or_init(|| entries);
}

/// Runs the delegate `exe`, and returns its output.
pub(crate) fn ask(exe: &Path, env: &[(&'static str, String)], stdin: &[u8]) -> Result<Vec<u8>> {
    let step = telemetry::step("ipam");
    let done = run(exe, env, stdin);
    step.note(&done);
    done
}

fn run(exe: &Path, env: &[(&'static str, String)], stdin: &[u8]) -> Result<Vec<u8>> {
    let Some(entry) = own(exe) else {
        let traced = telemetry::hand_on(env);
        return exec(exe, traced.as_deref().unwrap_or(env), stdin);
    };
    let env = Env::from_lookup(|name| {
        let found = env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    });
    let step = telemetry::named_step(|| format!("cni.{} {}", entry.name(), env.command));
    let reply = entry.serve(&env, &mut || Ok(stdin.to_vec()));
    drop(step);
    stderr::complain(&reply.stderr);
    if reply.ok {
        return Ok(reply.stdout);
    }
    let error: WireError = Json::parse(&reply.stdout)?.decode()?;
    Err(Failure::relayed(reply.stdout, error))
}

/// Our own entry of that file's name, where the file is this executable under another name.
fn own(exe: &Path) -> Option<&'static Entry> {
    let name = exe.file_name()?.to_str()?;
    let mut entries = HOUSE.get()?.iter();
    let entry = entries.find(|entry| entry.names.contains(&name))?;
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let this = inode(Path::new("/proc/self/exe"))?;
    (inode(exe)? == this).then_some(*entry)
}
