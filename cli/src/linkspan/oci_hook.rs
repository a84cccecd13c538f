//! `linkspan oci-hook`: a hook of the OCI runtime specification, by which runc or crun attach a container without an
//! engine. The same hook serves `createRuntime`, which attaches, and `poststop`, which detaches: the container's state
//! distinguishes them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::NetworkName;
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::lives::Lives;
use linkspan_runtime::{Result, sentence};
use serde::Deserialize;
use serde_json::Value;

use super::target::Places;
use super::verbs;
use crate::complain::complain;
use crate::suite::Suite;
use crate::wishes::Wishes;

/// The annotation that names the network.
const NETWORK: &str = "org.linkspan.network";

/// The annotation with the published ports, a comma between two.
const PORTS: &str = "org.linkspan.ports";

#[derive(Debug, Args)]
pub(super) struct OciHookArgs {
    /// The network's name, or the path of a file with its configuration; by default the annotation org.linkspan.network,
    /// which can only be the name of a network in --net-dir
    #[arg(long, value_name = "NAME")]
    net: Option<String>,
    /// A network that the annotation may name; by default it may name every network in --net-dir
    #[arg(long, value_name = "NAME", conflicts_with = "net")]
    allow: Vec<String>,
    /// A port to publish, as [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; by default those of the annotation org.linkspan.ports,
    /// with commas between them
    #[arg(long, value_name = "PORT")]
    publish: Vec<String>,
    /// Name of the interface in the container
    #[arg(long, default_value = "eth0", value_name = "NAME")]
    ifname: String,
}

/// The state of a container on a hook's stdin.
#[derive(Debug, Deserialize)]
struct State {
    id: String,
    status: String,
    #[serde(default)]
    pid: u32,
    bundle: PathBuf,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The exit status is 1, with one line, on failure: the runtime quotes that line in its own error.
pub(super) fn run(places: &Places, args: &OciHookArgs, suite: Suite<'_>) -> u8 {
    match called(places, args, suite) {
        Ok(()) => 0,
        Err(failure) => {
            let line = format!("linkspan: {}\n", sentence(&failure));
            complain(&line);
            1
        }
    }
}

fn called(places: &Places, args: &OciHookArgs, suite: Suite<'_>) -> Result<()> {
    let state = State::read(&mut io::stdin())?;
    let network = match &args.net {
        Some(named) => named,
        None => state.network()?,
    };
    let (runtime, _bundled) = places.runtime(suite.names)?;
    match state.status.as_str() {
        // The specification has `creating` for createRuntime; crun says `created` there.
        "creating" | "created" => {
            let mut at = Attachment::new(&state.id, &state.netns()?, &args.ifname)?;
            args.check_choice(network)?;
            let list = places.load(network)?;
            let wishes = Wishes {
                ports: ports(args, &state),
                ..Wishes::default()
            };
            at.capability_args = wishes.capability_args(&list)?;
            if is_of_the_dead(&runtime, &list, &at)? {
                places.del(network, &runtime, &without_netns(&at))?;
            }
            verbs::add_unless_held(&runtime, &list, &at, suite).map(drop)
        }
        "stopped" => {
            // The process is gone, and its number may be another's, so only a namespace with a path of its own is used.
            let netns = given_netns(&state.bundle)
                .ok()
                .flatten()
                .unwrap_or_default();
            let at = Attachment::new(&state.id, &netns, &args.ifname)?;
            if let Err(refused) = args.check_choice(network) {
                // An attached container is detached even where its choice of network would be refused today.
                let name = NetworkName::parse(network)?;
                runtime.cache.entry(&name, &at).ok_or(refused)?;
            }
            places.del(network, &runtime, &at)
        }
        other => Err(Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            format!("the container {:?} is {other}", state.id),
        )
        .hint("this hook is for createRuntime and poststop")),
    }
}

impl OciHookArgs {
    /// Refuses a network that an annotation may not choose.
    fn check_choice(&self, network: &str) -> Result<()> {
        if self.allow.is_empty() || self.allow.iter().any(|allowed| allowed == network) {
            return Ok(());
        }
        let told = format!("the annotation {NETWORK} may not choose the network {network:?}");
        Err(Failure::new(ErrorCode::INVALID_ENVIRONMENT, told)
            .hint(format!("choose one of: {}", self.allow.join(", "))))
    }
}

impl State {
    fn read(from: &mut dyn Read) -> Result<Self> {
        let mut raw = Vec::new();
        from.read_to_end(&mut raw)
            .map_err(linkspan_runtime::io("read the container's state"))?;
        serde_json::from_slice(&raw).map_err(|err| {
            Failure::new(ErrorCode::DECODING, err.to_string())
                .context("decode the container's state")
                .hint("an OCI runtime writes it to the standard input of its hooks")
        })
    }

    /// The network that the annotation names. It cannot be a file's path: the author of annotations need not be root,
    /// and root would execute any configuration.
    fn network(&self) -> Result<&str> {
        let named = self.annotation(NETWORK).ok_or_else(|| {
            Failure::new(ErrorCode::INVALID_ENVIRONMENT, "no network is named").hint(format!(
                "give --net NAME, or the container an annotation {NETWORK}"
            ))
        })?;
        NetworkName::parse(named).map_err(|refused| {
            refused
                .context(format!("annotation {NETWORK}"))
                .hint("name a network in --net-dir; only the hook's own --net can name a file")
        })?;
        Ok(named)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        let value = self.annotations.get(name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The path of the container's namespace while it is being created.
    fn netns(&self) -> Result<String> {
        match given_netns(&self.bundle)? {
            Some(path) => Ok(path),
            None if self.pid == 0 => Err(Failure::new(
                ErrorCode::INVALID_NETNS,
                format!("the container {:?} has no process", self.id),
            )
            .hint("this hook is for createRuntime and poststop")),
            None => Ok(format!("/proc/{}/ns/net", self.pid)),
        }
    }
}

/// The path of the network namespace in a bundle's configuration; `None` for a namespace that the runtime makes.
fn given_netns(bundle: &Path) -> Result<Option<String>> {
    let path = bundle.join("config.json");
    let reading = || format!("read {}", path.display());
    let raw = fs::read(&path).map_err(linkspan_runtime::io(reading()))?;
    let config: Value = serde_json::from_slice(&raw)
        .map_err(|err| Failure::new(ErrorCode::DECODING, err.to_string()).context(reading()))?;
    let namespaces = config
        .pointer("/linux/namespaces")
        .and_then(Value::as_array);
    let network = namespaces
        .into_iter()
        .flatten()
        .find(|namespace| namespace.get("type").and_then(Value::as_str) == Some("network"));
    let path = network.and_then(|namespace| namespace.get("path")?.as_str());
    Ok(path.filter(|path| !path.is_empty()).map(str::to_owned))
}

/// The requested ports. Those of the command line replace those of the annotation.
fn ports<'a>(args: &'a OciHookArgs, state: &'a State) -> Vec<&'a str> {
    if args.publish.is_empty() {
        let annotated = state.annotation(PORTS).into_iter();
        annotated
            .flat_map(|ports| ports.split(','))
            .map(str::trim)
            .collect()
    } else {
        args.publish.iter().map(String::as_str).collect()
    }
}

/// Returns whether an earlier container of the same id is attached, whose namespace is gone. crun calls no poststop
/// for a container that it failed to create, so nothing else would detach the earlier one.
fn is_of_the_dead(runtime: &Runtime, list: &NetworkList, at: &Attachment) -> Result<bool> {
    let earlier = runtime.cache.entry(&list.network()?, at);
    Ok(earlier.is_some_and(|entry| Lives::now(&runtime.cache).of(&entry) == Life::Gone))
}

fn without_netns(at: &Attachment) -> Attachment {
    Attachment {
        netns: String::new(),
        ..at.clone()
    }
}
