//! The arguments with the directories, and with the attachment of a command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use linkspan_netlink::named;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::NetworkName;
use linkspan_runtime::attachment::{
    Attachment, absolute, id_of_netns, parse_args, parse_capability_args,
};
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::{Runtime, Told};
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::interrupt::Interrupt;
use linkspan_runtime::{Result, confdir, kernel};

use crate::attachments::{self, Attached, Wanted};
use crate::end::End;
use crate::plugins::{self, Bundled};

#[derive(Debug, Args)]
pub(super) struct Places {
    /// Directory of network configurations
    #[arg(
        long,
        global = true,
        env = "NETCONFPATH",
        default_value = "/etc/cni/net.d",
        value_name = "DIR"
    )]
    pub(super) net_dir: PathBuf,
    /// Directories of plugins; by default /opt/cni/bin, then the plugins in this binary
    #[arg(long, global = true, env = "CNI_PATH", value_name = "DIR[:DIR]")]
    pub(super) plugin_dirs: Option<String>,
    /// Directory of remembered results
    #[arg(
        long,
        global = true,
        default_value = "/var/lib/cni",
        value_name = "DIR"
    )]
    pub(super) cache_dir: PathBuf,
    /// The signal that stops the plugins.
    #[arg(skip)]
    pub(super) stop: Option<Arc<Interrupt>>,
    /// Called for each call of a plugin.
    #[arg(skip)]
    pub(super) told: Option<Told>,
}

#[derive(Debug, Args)]
pub(super) struct Target {
    /// The network's name, or the path of a file with its configuration
    pub(super) network: String,
    /// The namespace's path, or its name in /run/netns
    pub(super) netns: String,
    #[command(flatten)]
    pub(super) given: Given,
}

/// The parameters of an attachment beside its namespace.
#[derive(Debug, Clone, Args)]
pub(super) struct Given {
    /// Name of the interface in the namespace, by default eth0
    #[arg(long, env = "CNI_IFNAME", value_name = "NAME")]
    pub(super) ifname: Option<String>,
    /// The container's id; by default the one that `cnitool` derives from the namespace's path
    #[arg(long, value_name = "ID")]
    pub(super) container_id: Option<String>,
    /// Arguments for plugins, as K=V;K=V
    #[arg(long, env = "CNI_ARGS", default_value = "", value_name = "PAIRS")]
    pub(super) args: String,
    /// Values for capabilities, as a JSON object
    #[arg(long, env = "CAP_ARGS", default_value = "", value_name = "JSON")]
    pub(super) capability_args: String,
}

/// An attachment by one of its names, or by a network and a namespace.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The attachment: a namespace's name or path, pid:N, the beginning of an id, pod:NAMESPACE/NAME or an address; or,
    /// before NETNS, the name of a network or the path of a file with its configuration
    #[arg(value_name = "ATTACHMENT | NETWORK")]
    first: Option<String>,
    /// The namespace's path, or its name in /run/netns
    netns: Option<String>,
    /// The network of ATTACHMENT, if that is in several
    #[arg(long, value_name = "NAME")]
    net: Option<String>,
    #[command(flatten)]
    given: Given,
}

/// The object that a subject names.
#[derive(Debug)]
pub(super) enum Named {
    /// A remembered attachment, by one of its names.
    Attached(Box<Attached>),
    /// A network and a namespace, with or without a known attachment.
    Target(Target),
}

impl Subject {
    /// Returns whether the command line names nothing.
    pub(super) fn is_absent(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn named(&self, cache: &Cache) -> std::result::Result<Named, End> {
        let Some(first) = &self.first else {
            let told = Failure::new(ErrorCode::INVALID_ENVIRONMENT, "no attachment is named");
            return Err(End::usage(
                told.hint("`linkspan list` prints the attachments"),
            ));
        };
        if let Some(netns) = &self.netns {
            return Ok(Named::Target(Target {
                network: first.clone(),
                netns: netns.clone(),
                given: self.given.clone(),
            }));
        }
        let ifname = self.given.ifname.as_deref();
        let wanted = Wanted {
            word: first,
            network: self.net.as_deref(),
            ifname: ifname.filter(|name| !name.is_empty()),
        };
        let found = attachments::find(cache, wanted)?;
        Ok(Named::Attached(Box::new(found)))
    }
}

impl Places {
    /// The runtime, with the value that must outlive it.
    pub(super) fn runtime(&self, plugins: &[&str]) -> Result<(Runtime, Option<Bundled>)> {
        let (plugin_dirs, bundled) = plugins::search(self.plugin_dirs.as_deref(), plugins)?;
        let runtime = Runtime {
            plugin_dirs,
            cache: Cache::new(&self.cache_dir),
            stop: self.stop.clone(),
            told: self.told,
        };
        Ok((runtime, bundled))
    }

    /// The network with a name, or of a file's path.
    pub(super) fn load(&self, network: &str) -> Result<NetworkList> {
        if network.contains('/') {
            confdir::load_file(Path::new(network))
        } else {
            confdir::load(&self.net_dir, network)
        }
    }

    /// The same for a network that a person named: a missing one has its own exit status.
    pub(super) fn network(&self, network: &str) -> std::result::Result<NetworkList, End> {
        self.load(network).map_err(|failure| {
            let is_there = if network.contains('/') {
                Path::new(network).exists()
            } else {
                !matches!(confdir::find(&self.net_dir, network), Ok(None))
            };
            if is_there {
                failure.into()
            } else {
                End::unknown(failure)
            }
        })
    }

    /// The directory of fragments of `network`; a remembered configuration does not contain them.
    fn dir_of<'a>(&'a self, network: &'a str) -> &'a Path {
        match Path::new(network).parent() {
            Some(dir) if network.contains('/') => dir,
            _ => &self.net_dir,
        }
    }

    /// The name of the network. A network that cannot be loaded may be remembered under its name.
    pub(super) fn name_of(&self, network: &str) -> Result<NetworkName> {
        match self.load(network) {
            Ok(list) => list.network(),
            Err(failure) => NetworkName::parse(network).map_err(|_path| failure),
        }
    }

    /// DEL with the remembered configuration and arguments of ADD, if any: the file may have changed.
    pub(super) fn del(&self, network: &str, runtime: &Runtime, at: &Attachment) -> Result<()> {
        let loaded = self.load(network);
        let Some(entry) = runtime.cache.entry(&self.name_of(network)?, at) else {
            return runtime.del(&loaded?, at);
        };
        let remembered = entry
            .network()
            .and_then(|list| confdir::with_fragments(list, self.dir_of(network)));
        let list = match remembered {
            Ok(list) => list,
            Err(_) => loaded?,
        };
        let mut at = at.clone();
        at.args = entry.cni_args;
        at.capability_args = entry.capability_args;
        runtime.del(&list, &at)
    }
}

impl Target {
    pub(super) fn attachment(&self) -> Result<Attachment> {
        let netns = if self.netns.contains('/') {
            absolute(&self.netns)?
        } else {
            named::path(&self.netns).map_err(kernel)?
        };
        let given = &self.given;
        let container = given
            .container_id
            .clone()
            .unwrap_or_else(|| id_of_netns(&netns));
        let ifname = given.ifname.as_deref().filter(|name| !name.is_empty());
        let ifname = ifname.unwrap_or("eth0");
        let mut at = Attachment::new(&container, &netns.to_string_lossy(), ifname)?;
        at.args = parse_args(&given.args)?;
        if !given.capability_args.is_empty() {
            at.capability_args = parse_capability_args(&given.capability_args)?;
        }
        Ok(at)
    }
}
