//! The command line of the Go `cnitool`: the same commands, environment, output and exit codes.
//!
//! Unlike [`crate::linkspan`] it has only the defaults of `cnitool`, and uses nothing of the cache.

mod args;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use linkspan_invoke::split_path;
use linkspan_runtime::attachment::{
    Attachment, absolute, id_of_netns, parse_args, parse_capability_args,
};
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::{self, Runtime};
use linkspan_runtime::{Result, confdir, sentence};
use serde_json::Map;

use self::args::{Asked, Refused, parse, usage};
use crate::complain::complain;

const NET_DIR: &str = "/etc/cni/net.d";
const CACHE_DIR: &str = "/var/lib/cni";
const IFNAME: &str = "eth0";

/// Runs the command line, without the name of the program.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let (text, refused) = match parse(&args).and_then(execute) {
        Ok(text) => (text, None),
        Err(refused) => (String::new(), Some(refused)),
    };
    let printed = io::stdout().write_all(text.as_bytes());
    let Some(Refused { message, usage }) = refused else {
        return ExitCode::from(u8::from(printed.is_err()));
    };
    let told = format!("Error: {message}\n{usage}\n{message}\n");
    complain(&told);
    ExitCode::FAILURE
}

/// Runs the request, and returns the text for stdout.
fn execute(asked: Asked<'_>) -> std::result::Result<String, Refused> {
    let (command, network, netns, ifname) = match asked {
        Asked::Help(text) => return Ok(text),
        Asked::Run {
            command,
            network,
            netns,
            ifname,
        } => (command, network, netns, ifname),
    };
    run(command, network, netns, ifname).map_err(|message| Refused {
        message,
        usage: usage(command),
    })
}

fn run(
    command: &str,
    network: &str,
    netns: &str,
    ifname: Option<String>,
) -> std::result::Result<String, String> {
    let told = |failure| sentence(&failure);
    let net_dir = variable("NETCONFPATH").unwrap_or_else(|| NET_DIR.to_owned());
    let list = confdir::load(Path::new(&net_dir), network).map_err(told)?;
    let at = attachment(netns, ifname).map_err(told)?;
    let runtime = Runtime {
        plugin_dirs: split_path(&variable("CNI_PATH").unwrap_or_default()),
        cache: Cache::new(Path::new(CACHE_DIR)),
        stop: None,
        told: None,
    };
    let silent = |()| String::new();
    match command {
        "add" => runtime
            .add(&list, &at)
            .and_then(|result| chain::print(&result))
            .map_err(told),
        "check" => runtime.check(&list, &at).map(silent).map_err(told),
        "del" => runtime.del(&list, &at).map(silent).map_err(told),
        "status" => runtime.status(&list).map(silent).map_err(told),
        _ => {
            // Without a list of valid attachments, as `cnitool` has none.
            let failures = runtime.gc(&list, None).failures;
            let lines: Vec<String> = failures.iter().map(sentence).collect();
            if lines.is_empty() {
                Ok(String::new())
            } else {
                Err(lines.join("\n"))
            }
        }
    }
}

fn attachment(netns: &str, ifname: Option<String>) -> Result<Attachment> {
    let capability_args = match variable("CAP_ARGS") {
        Some(text) => parse_capability_args(&text)?,
        None => Map::new(),
    };
    let args = parse_args(&variable("CNI_ARGS").unwrap_or_default())?;
    let ifname = ifname.filter(|name| !name.is_empty());
    let ifname = ifname
        .or_else(|| variable("CNI_IFNAME"))
        .unwrap_or_else(|| IFNAME.to_owned());
    let netns = absolute(netns)?;
    let at = Attachment::new(&id_of_netns(&netns), &netns.to_string_lossy(), &ifname)?;
    Ok(Attachment {
        args,
        capability_args,
        ..at
    })
}

/// A variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is this command line's interface"
)]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}
