//! The arguments of `linkspan`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::check::CheckArgs;
use super::gc::GcArgs;
use super::install::{InstallArgs, PauseArgs};
use super::oci_hook::OciHookArgs;
use super::remove::{RemoveArgs, UninstallArgs};
use super::target::{Places, Subject, Target};
use super::verbs::DelArgs;
use crate::completion::Shell;
use crate::demo::DemoArgs;
use crate::list::ListArgs;
use crate::metrics::MetricsArgs;
use crate::output::Output;
use crate::ports::PortsArgs;

/// A CNI plugin suite and a small runtime in one binary.
#[derive(Debug, Parser)]
#[command(name = "linkspan", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) places: Places,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show that two pods talk, in namespaces of its own; touches nothing of this machine and needs no root
    Demo(DemoArgs),
    /// Run a command in a fresh network namespace that is attached to a network
    Run(RunArgs),
    /// Attach a namespace to a network and print the result
    Add(Target),
    /// Compare an attachment, or all that live, with what its ADD returned
    Check(CheckArgs),
    /// Detach a namespace from a network
    Del(DelArgs),
    /// Detach the remembered attachments of networks whose namespace is gone, and let the plugins clean up
    Gc(GcArgs),
    /// Ask a network's plugins whether they could attach a container now, show where each plugin is, and warn of
    /// obstacles to the network's packets
    Status {
        /// The network's name, or the path of a file with its configuration; without it, every network
        network: Option<String>,
    },
    /// Look for faults of the configurations, the host and the pods, and name the command that mends each; changes
    /// nothing, and prints nothing if all is well
    Doctor(DoctorArgs),
    /// Print the attachments
    List(ListArgs),
    /// Print all that is known of an attachment: result, pod, leases, ports, the host's end, and what it has in the packet
    /// filter
    Inspect(Subject),
    /// Print the ports that are published on this host, their owners, and processes that listen on them
    Ports(PortsArgs),
    /// Print the node in numbers, for Prometheus: attachments, addresses, ports, what is left of pods that are gone, what
    /// `doctor` finds, and calls of plugins where they are counted
    Metrics(MetricsArgs),
    /// Put back the published ports and the masquerade of living attachments, as after `nft flush ruleset` or a restart
    /// of nftables.service; nothing else changes
    Restore(RestoreArgs),
    /// Remove all state of the plugins in nf_tables, published ports and masquerade alike, such as before a node
    /// returns to another suite; refused while living attachments need it
    Clear(RemoveArgs),
    /// List the faults of network configurations before any container needs them
    Validate(ValidateArgs),
    /// Attach or detach a container as an OCI runtime's hook, createRuntime and poststop; its state is read from stdin
    OciHook(OciHookArgs),
    /// Name network namespaces, as `ip netns` does
    #[command(subcommand)]
    Netns(NetnsCommand),
    /// Put the plugins into a directory, as hard links to one copy of this binary
    Install(InstallArgs),
    /// Show the changes and detachments that are needed before the plugins of another suite take over this node
    Back {
        /// The directory of the other plugins, such as /usr/lib/cni
        dir: PathBuf,
    },
    /// Remove the plugins that `install` put into a directory; refused while living attachments need them
    Uninstall(UninstallArgs),
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
    /// Do nothing until asked to end, as the container of a pod that has installed the plugins; or put back what somebody
    /// removes
    Pause(PauseArgs),
    /// Print the script by which a shell completes this command line, and the names of networks, namespaces, containers
    /// and pods with it
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print versions and the names of the plugins
    Version,
}

impl Command {
    /// Returns whether it answers a question, and so cannot tell without the right to look.
    pub(super) fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Check(_)
                | Self::Status { .. }
                | Self::Doctor(_)
                | Self::Metrics(_)
                | Self::List(_)
                | Self::Inspect(_)
                | Self::Ports(_)
                | Self::Validate(_)
        )
    }

    /// Returns whether it executes plugins, which a signal stops.
    pub(super) fn may_be_stopped(&self) -> bool {
        matches!(
            self,
            Self::Demo(_)
                | Self::Run(_)
                | Self::Add(_)
                | Self::Check(_)
                | Self::Del(_)
                | Self::Gc(_)
                | Self::Status { .. }
                | Self::Doctor(_)
                | Self::Metrics(_)
                | Self::Validate(_)
                | Self::OciHook(_)
                | Self::Install(_)
                | Self::Back { .. }
        )
    }
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The network's name, or the path of a file with its configuration; without it, every network
    pub(super) network: Option<String>,
    /// An attachment to restore, and no others; may be repeated
    #[arg(long, value_name = "CONTAINER/IFNAME")]
    pub(super) only: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A file with a network configuration
    #[arg(long, conflicts_with = "net", value_name = "FILE")]
    pub(super) conf: Option<PathBuf>,
    /// The name of a network; without this and --conf, the network `linkspan` where it is installed, otherwise a
    /// dual-stack bridge for runs alone
    #[arg(long, value_name = "NAME")]
    pub(super) net: Option<String>,
    /// A port of the command to publish on the host, as [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; may be repeated
    #[arg(short, long, value_name = "PORT")]
    pub(super) publish: Vec<String>,
    /// An address to ask for; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ip: Vec<String>,
    /// The MAC address to ask for
    #[arg(long, value_name = "MAC")]
    pub(super) mac: Option<String>,
    /// Name of the interface in the namespace
    #[arg(long, default_value = "eth0", value_name = "NAME")]
    pub(super) ifname: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// A network's name, or an attachment as for `check`; without it, the whole node
    #[arg(value_name = "NETWORK | ATTACHMENT")]
    pub(super) subject: Option<String>,
    /// Ask on each bridge for the holders of the pods' addresses, with a packet for each
    #[arg(long)]
    pub(super) probe: bool,
}

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Files with network configurations; without any, all of --net-dir as one system, in the order of engines
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Fail on warnings, too; -v prints notes
    #[arg(long)]
    pub(super) strict: bool,
    /// Values for capabilities that a runtime will provide, as a JSON object
    #[arg(long, env = "CAP_ARGS", default_value = "", value_name = "JSON")]
    pub(super) capability_args: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum NetnsCommand {
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
