//! `linkspan`: the command line.

mod install;
mod network;
mod oci_hook;
mod target;
mod verbs;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};
use linkspan_netlink::named;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::version::SpecVersion;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::interrupt::Interrupt;
use linkspan_runtime::{Result, confdir, kernel};

use self::install::InstallArgs;
use self::oci_hook::OciHookArgs;
use self::target::{Places, Target};
use self::verbs::DelArgs;
use crate::complain::complain;
use crate::ports;
use crate::run::Wished;
use crate::suite::Suite;
use crate::wishes::Wishes;
use crate::{demo, list, pause, run};

/// The default network of `run`, if it is installed: that of the example.
const INSTALLED: &str = "linkspan";
/// The default network of `run` otherwise, with a bridge, addresses and leases of its own.
const OWN: &str = include_str!("../own.conflist");

/// A CNI plugin suite and a small runtime in one binary.
#[derive(Debug, Parser)]
#[command(name = "linkspan", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show that two pods talk, in namespaces of its own; touches nothing of this machine and needs no root
    Demo,
    /// Run a command in a fresh network namespace that is attached to a network
    Run(RunArgs),
    /// Attach a namespace to a network and print the result
    Add(Target),
    /// Compare an attachment with what its ADD returned
    Check(Target),
    /// Detach a namespace from a network
    Del(DelArgs),
    /// Detach the remembered attachments of a network whose namespace is gone, and let its plugins clean up
    Gc(GcArgs),
    /// Ask a network's plugins whether they could attach a container now, and warn of obstacles to its packets
    Status {
        /// The network's name, or the path of a file with its configuration
        network: String,
    },
    /// Look for faults of the configurations, the host and the pods, and name the command that mends each; changes
    /// nothing, and prints nothing where all is well
    Doctor(DoctorArgs),
    /// Print the attachments
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the ports that are published on this host, their owners, and processes that listen on them
    Ports {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put back the published ports and the masquerade of living attachments, as after `nft flush ruleset` or a restart
    /// of nftables.service; nothing else changes
    Restore(RestoreArgs),
    /// Remove all state of the plugins in nf_tables, published ports and masquerade alike, as before a node goes back
    /// to another suite
    Clear,
    /// List the faults of network configurations before any container needs them
    Validate(ValidateArgs),
    /// Attach or detach a container as an OCI runtime's hook, createRuntime and poststop; its state is read from stdin
    OciHook(OciHookArgs),
    /// Name network namespaces, as `ip netns` does
    #[command(subcommand)]
    Netns(NetnsCommand),
    /// Put the plugins into a directory, as hard links to one copy of this binary
    Install(InstallArgs),
    /// Run the daemon of the plugin dhcp, which keeps leases, with the flags of `dhcp daemon`
    #[command(disable_help_flag = true)]
    DhcpDaemon {
        /// Such as -socketpath; -h lists them
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "FLAG"
        )]
        flags: Vec<String>,
    },
    /// Do nothing until asked to end, as the container of a pod that has installed them
    Pause,
    /// Print versions and the names of the plugins
    Version,
}

impl Command {
    /// Whether it executes plugins, which a signal stops.
    fn may_be_stopped(&self) -> bool {
        matches!(
            self,
            Self::Demo
                | Self::Run(_)
                | Self::Add(_)
                | Self::Check(_)
                | Self::Del(_)
                | Self::Gc(_)
                | Self::Status { .. }
                | Self::Doctor(_)
                | Self::Validate(_)
                | Self::OciHook(_)
                | Self::Install(_)
        )
    }
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A file with a network configuration
    #[arg(long, conflicts_with = "net", value_name = "FILE")]
    conf: Option<PathBuf>,
    /// The name of a network; without this and --conf, the network `linkspan` where it is installed, otherwise a
    /// dual-stack bridge for runs alone
    #[arg(long, value_name = "NAME")]
    net: Option<String>,
    /// A port of the command to publish on the host, as [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; may be repeated
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// An address to ask for; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<String>,
    /// The MAC address to ask for
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
    /// Name of the interface in the namespace
    #[arg(long, default_value = "eth0", value_name = "NAME")]
    ifname: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct GcArgs {
    /// The network's name, or the path of a file with its configuration
    network: String,
    /// An attachment that stays although this cache does not know it, or its namespace seems gone
    #[arg(long, value_name = "CONTAINER/IFNAME")]
    keep: Vec<String>,
    /// An attachment whose container its engine does not know any more: it is detached, and nothing else is collected,
    /// which is safe while containers start; may be repeated
    #[arg(long, value_name = "CONTAINER/IFNAME", conflicts_with = "keep")]
    gone: Vec<String>,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// The network's name, or the path of a file with its configuration; without it, every network
    network: Option<String>,
    /// An attachment to restore, and no others; may be repeated
    #[arg(long, value_name = "CONTAINER/IFNAME")]
    only: Vec<String>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// A network's name or the beginning of a container's id; without it, the whole node
    subject: Option<String>,
    /// Ask on each bridge who has the pods' addresses, with a packet for each
    #[arg(long)]
    probe: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// Files with network configurations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Values for capabilities that a runtime will have, as a JSON object
    #[arg(long, env = "CAP_ARGS", default_value = "", value_name = "JSON")]
    capability_args: String,
}

#[derive(Debug, Subcommand)]
enum NetnsCommand {
    /// Make an empty namespace
    Add {
        /// Its name
        name: String,
    },
    /// Remove a name
    Del {
        /// Its name
        name: String,
    },
    /// Print the names
    List,
}

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
    let ended = match cli.command.may_be_stopped().then(Interrupt::expect) {
        Some(Err(failure)) => Err(failed(failure)),
        Some(Ok(interrupt)) => {
            cli.places.stop = Some(Arc::new(interrupt));
            dispatch(&cli, suite)
        }
        None => dispatch(&cli, suite),
    };
    let status = ended.unwrap_or_else(|(status, failure)| {
        report(&failure);
        status
    });
    // All scratch of the command is gone by now. The exit of `run` is that of its own command.
    match (&cli.places.stop, &cli.command) {
        (None, _) | (_, Command::Run(_)) => {}
        (Some(interrupt), _) => interrupt.follow(),
    }
    ExitCode::from(status)
}

fn report(failure: &Failure) {
    complain(&explain(failure));
}

/// The failure for a person: the sentence, and below it the details.
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

fn dispatch(cli: &Cli, suite: Suite<'_>) -> run::Ended {
    let out = &mut io::stdout();
    let plugins = suite.names;
    let done = match &cli.command {
        Command::Gc(args) => return network::gc(out, &cli.places, args, plugins).map_err(failed),
        Command::Restore(args) => {
            return network::restore(out, &cli.places, args, plugins).map_err(failed);
        }
        Command::Validate(args) => {
            return network::validate(out, &cli.places, args, suite).map_err(failed);
        }
        Command::Doctor(args) => {
            return network::doctor(out, &cli.places, args, suite).map_err(failed);
        }
        Command::Run(args) => return run_command(&cli.places, args, plugins),
        Command::OciHook(args) => return Ok(oci_hook::run(&cli.places, args, suite)),
        Command::DhcpDaemon { flags } => return Ok((suite.dhcp_daemon)(flags)),
        Command::Demo => demo::run(out, suite, cli.places.stop.clone()),
        Command::Add(target) => verbs::add(out, &cli.places, target, suite),
        Command::Check(target) => verbs::check(&cli.places, target, suite),
        Command::Del(args) => verbs::del(&cli.places, args, suite),
        Command::Status { network } => network::status(out, &cli.places, network, suite),
        Command::List { json } => list::run(out, &Cache::new(&cli.places.cache_dir), *json)
            .map(|unreadable| unreadable.iter().for_each(report)),
        Command::Ports { json } => (suite.ports)().and_then(|found| ports::run(out, &found, *json)),
        Command::Clear => clear(out, suite),
        Command::Netns(command) => netns(out, command),
        Command::Install(args) => install::run(out, &cli.places, args, suite),
        Command::Pause => pause::run(),
        Command::Version => version(out, plugins),
    };
    done.map(|()| 0).map_err(failed)
}

/// The exit status of any failure but those of `run`.
fn failed(failure: Failure) -> (u8, Failure) {
    (1, failure)
}

fn run_command(places: &Places, args: &RunArgs, plugins: &[&str]) -> run::Ended {
    // From here on a signal is an event, so everything that is made for the run is removed on every way out.
    let signals = run::signals().map_err(|failure| (run::NOT_ATTACHED, failure))?;
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
    let ((runtime, _bundled), list, wished) =
        prepared().map_err(|failure| (run::NOT_ATTACHED, failure))?;
    run::run(&runtime, &list, wished, &args.command, signals)
}

fn netns(out: &mut dyn Write, command: &NetnsCommand) -> Result<()> {
    match command {
        NetnsCommand::Add { name } => {
            let path = named::create(name).map_err(kernel)?;
            print(out, &path.display().to_string())
        }
        NetnsCommand::Del { name } => named::delete(name).map_err(kernel),
        NetnsCommand::List => named::list()
            .map_err(kernel)?
            .iter()
            .try_for_each(|name| print(out, name)),
    }
}

fn clear(out: &mut dyn Write, suite: Suite<'_>) -> Result<()> {
    let removed = (suite.clear)()?;
    print(
        out,
        if removed {
            "removed; containers that are still attached have lost their ports and masquerade"
        } else {
            "there is nothing to remove"
        },
    )
}

fn version(out: &mut dyn Write, plugins: &[&str]) -> Result<()> {
    let versions = SpecVersion::ALL.map(SpecVersion::as_str).join(", ");
    let release = env!("CARGO_PKG_VERSION");
    print(
        out,
        &format!(
            "linkspan {release}\nCNI spec: {versions}\nplugins: {}",
            plugins.join(", ")
        ),
    )
}

fn print(out: &mut dyn Write, text: &str) -> Result<()> {
    writeln!(out, "{text}")
        .map_err(|err| Failure::new(ErrorCode::IO, err.to_string()).context("print"))
}
