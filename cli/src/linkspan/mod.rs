//! `linkspan`: the command line.

mod args;
mod check;
mod gc;
mod install;
mod network;
mod oci_hook;
mod remove;
mod status;
mod target;
mod verbose;
mod verbs;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use linkspan_netlink::named;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::version::SpecVersion;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::interrupt::Interrupt;
use linkspan_runtime::{Result, confdir, kernel};
use serde_json::{Value, json};

use self::args::{Cli, Command, NetnsCommand, RunArgs};
use self::target::{Named, Places, Subject};
use crate::complain::complain;
use crate::end::{End, Ended};
use crate::output::{self, Stdout};
use crate::run::Wished;
use crate::suite::Suite;
use crate::wishes::Wishes;
use crate::{attachments, back, completion, demo, inspect, list, ports, run};

/// The default network of `run`, if it is installed: that of the example.
const INSTALLED: &str = "linkspan";
/// The exit status of a command whose reader has gone, as if SIGPIPE had ended it.
const CLOSED: u8 = 141;
/// The default network of `run` otherwise, with a separate bridge, addresses and leases.
const OWN: &str = include_str!("../own.conflist");

/// The command line as a value, for manual pages, completions and comparisons.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line.
pub fn main(args: impl Iterator<Item = OsString>, suite: Suite<'_>) -> ExitCode {
    let mut cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => {
            let status = u8::try_from(usage.exit_code()).unwrap_or(2);
            // An error is ignored, because nothing else reaches a person.
            drop(usage.print());
            return ExitCode::from(status);
        }
    };
    cli.places.told = match cli.output.verbose {
        0 => None,
        1 => Some(verbose::line),
        _ => Some(verbose::lines),
    };
    let out = &mut Stdout::default();
    let ended = match cli.command.may_be_stopped().then(Interrupt::expect) {
        Some(Err(failure)) => Err(failure.into()),
        Some(Ok(interrupt)) => {
            cli.places.stop = Some(Arc::new(interrupt));
            dispatch(out, &cli, suite)
        }
        None => dispatch(out, &cli, suite),
    };
    let status = ended.unwrap_or_else(|end| fail(&cli, out, end));
    // All temporary files of the command are gone by now. `run` exits with the status of its own command.
    match (&cli.places.stop, &cli.command) {
        (None, _) | (_, Command::Run(_)) => {}
        (Some(interrupt), _) => interrupt.follow(),
    }
    ExitCode::from(status)
}

/// Reports the failure, and returns the exit status. A reader that has gone, such as `head`, needs no report.
fn fail(cli: &Cli, out: &Stdout, end: End) -> u8 {
    let end = if cli.command.is_question() {
        end.of_question()
    } else {
        end
    };
    if out.is_closed() {
        return CLOSED;
    }
    if cli.output.json {
        let told = end.failure.to_wire();
        let object = json!({ "code": told.code, "msg": told.msg, "details": told.details });
        complain(&format!("{object}\n"));
    } else {
        report(&end.failure);
    }
    end.status
}

fn report(failure: &Failure) {
    complain(&explain(failure));
}

/// The failure for a person: the sentence, followed by the details.
fn explain(failure: &Failure) -> String {
    let mut text = format!("linkspan: {}\n", failure.message());
    for detail in failure
        .to_wire()
        .details
        .split("; ")
        .filter(|part| !part.is_empty())
    {
        text.push_str("  ");
        text.push_str(detail);
        text.push('\n');
    }
    text
}

fn dispatch(out: &mut Stdout, cli: &Cli, suite: Suite<'_>) -> Ended {
    let (places, plugins, as_json) = (&cli.places, suite.names, cli.output.json);
    let done = match &cli.command {
        Command::Gc(args) => return gc::run(out, places, args, plugins, as_json),
        Command::Restore(args) => return network::restore(out, places, args, plugins, as_json),
        Command::Validate(args) => return network::validate(out, places, args, suite, cli.output),
        Command::Doctor(args) => return network::doctor(out, places, args, suite, as_json),
        Command::Metrics(args) => return network::metrics(out, places, args, suite, as_json),
        Command::Run(args) => return run_command(places, args, plugins),
        Command::Back { dir } => {
            let other = Runtime {
                plugin_dirs: vec![dir.clone()],
                cache: Cache::new(&places.cache_dir),
                stop: places.stop.clone(),
                told: places.told,
            };
            return back::run(out, &places.net_dir, &other, as_json);
        }
        Command::OciHook(args) => return Ok(oci_hook::run(places, args, suite)),
        Command::DhcpDaemon { flags } => return Ok((suite.dhcp_daemon)(flags)),
        Command::Add(target) => return verbs::add(out, places, target, suite),
        Command::Check(args) => return check::run(out, places, args, suite, as_json),
        Command::Del(args) => return verbs::del(out, places, args, suite, as_json),
        Command::Inspect(subject) => return inspect(out, places, subject, suite, as_json),
        Command::Status { network } => {
            return status::run(out, places, network.as_deref(), suite, as_json);
        }
        Command::Ports(args) => {
            let attached = attachments::all(&Cache::new(&places.cache_dir));
            // Ports are printed even if the cache cannot be read.
            let attached = attached.unwrap_or_default().0;
            return ports::run(out, (suite.ports)()?, &attached, args, as_json);
        }
        Command::List(args) => {
            let cache = Cache::new(&places.cache_dir);
            list::run(out, &cache, args, as_json, suite.ports)
                .map(|unreadable| unreadable.iter().for_each(report))
        }
        Command::Demo(args) => demo::run(out, suite, *args, as_json, places.stop.clone()),
        Command::Clear(args) => remove::clear(out, places, *args, suite, as_json),
        Command::Uninstall(args) => remove::uninstall(out, places, args, suite, as_json),
        Command::Netns(command) => netns(out, command, as_json),
        Command::Install(args) => return install::run(out, places, args, suite, as_json),
        Command::Pause(args) => install::pause(out, places, args, suite),
        Command::Completion { shell } => {
            let places = completion::Where {
                net_dir: &places.net_dir,
                cache_dir: &places.cache_dir,
            };
            completion::run(out, *shell, places)
        }
        Command::Version => version(out, plugins, as_json),
    };
    done?;
    Ok(0)
}

fn inspect(
    out: &mut dyn Write,
    places: &Places,
    subject: &Subject,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    let cache = Cache::new(&places.cache_dir);
    let one = match subject.named(&cache)? {
        Named::Attached(one) => *one,
        Named::Target(target) => {
            let wanted = attachments::Wanted {
                word: &target.netns,
                network: Some(&target.network),
                ifname: target.given.ifname.as_deref(),
            };
            attachments::find(&cache, wanted)?
        }
    };
    inspect::run(out, &one, suite, as_json)?;
    Ok(0)
}

fn run_command(places: &Places, args: &RunArgs, plugins: &[&str]) -> Ended {
    let not_attached = |failure| End {
        status: run::NOT_ATTACHED,
        failure,
    };
    // From here on a signal is an event, so the run's state is removed on every way out.
    let signals = run::signals().map_err(not_attached)?;
    let prepared = || {
        let list = match (&args.conf, &args.net) {
            (Some(file), _) => confdir::load_file(file)?,
            (None, Some(name)) => confdir::load(&places.net_dir, name)?,
            (None, None) => match confdir::find(&places.net_dir, INSTALLED)? {
                Some(installed) => installed,
                None => NetworkList::parse(OWN.as_bytes())?,
            },
        };
        let wishes = Wishes {
            ports: args.publish.iter().map(String::as_str).collect(),
            addresses: args.ip.iter().map(String::as_str).collect(),
            mac: args.mac.as_deref(),
        };
        let wished = Wished {
            ifname: &args.ifname,
            capability_args: wishes.capability_args(&list)?,
        };
        Ok((places.runtime(plugins)?, list, wished))
    };
    let ((runtime, _bundled), list, wished) = prepared().map_err(not_attached)?;
    run::run(&runtime, &list, wished, &args.command, signals)
}

fn netns(out: &mut dyn Write, command: &NetnsCommand, as_json: bool) -> Result<()> {
    let row = |name: &str, path: &std::path::Path| json!({ "name": name, "path": path });
    match command {
        NetnsCommand::Add { name } => {
            let path = named::create(name).map_err(kernel)?;
            if as_json {
                return output::rows(out, &[row(name, &path)]);
            }
            print(out, &path.display().to_string())
        }
        NetnsCommand::Del { name } => {
            named::delete(name).map_err(kernel)?;
            let path = named::path(name).map_err(kernel)?;
            let rows = [row(name, &path)];
            if as_json {
                output::rows(out, &rows)
            } else {
                Ok(())
            }
        }
        NetnsCommand::List => {
            let names = named::list().map_err(kernel)?;
            if as_json {
                let rows = names.iter().map(|name| Ok(row(name, &named::path(name)?)));
                let rows: std::result::Result<Vec<Value>, _> = rows.collect();
                return output::rows(out, &rows.map_err(kernel)?);
            }
            names.iter().try_for_each(|name| print(out, name))
        }
    }
}

fn version(out: &mut dyn Write, plugins: &[&str], as_json: bool) -> Result<()> {
    let versions = SpecVersion::ALL.map(SpecVersion::as_str);
    let release = env!("CARGO_PKG_VERSION");
    if as_json {
        let row = json!({ "version": release, "cniVersions": versions, "plugins": plugins });
        return output::rows(out, &[row]);
    }
    print(
        out,
        &format!(
            "linkspan {release}\nCNI spec: {}\nplugins: {}",
            versions.join(", "),
            plugins.join(", ")
        ),
    )
}

fn print(out: &mut dyn Write, text: &str) -> Result<()> {
    writeln!(out, "{text}")
        .map_err(|err| Failure::new(ErrorCode::IO, err.to_string()).context("print"))
}
