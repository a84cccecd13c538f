//! The demonstration's host: its namespace, its network and its directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::interrupt::Interrupt;
use linkspan_runtime::scratch::Scratch;
use linkspan_runtime::{Result, kernel};
use serde_json::{Value, json};

use crate::outside;
use crate::plugins::Bundled;

/// The network that is shown.
const EXAMPLE: &str = include_str!("../../../conf-examples/bridge.conflist");

/// The state of every step.
pub(super) struct World {
    pub(super) host: Netns,
    /// The world beyond the host.
    pub(super) outside: Netns,
    pub(super) runtime: Runtime,
    pub(super) list: NetworkList,
    rtnl: Rtnl,
    _plugins: Bundled,
    state: Scratch,
}

impl World {
    /// Makes the world, and leaves the machine's network for good.
    pub(super) fn new(plugins: &[&str], stop: Option<Arc<Interrupt>>) -> Result<Self> {
        Netns::isolate().map_err(|err| {
            kernel(err)
                .hint("run as root, or allow user namespaces (sysctl user.max_user_namespaces)")
        })?;
        let state = Scratch::new("demo")?;
        let plugins = Bundled::link(plugins)?;
        let rtnl = Rtnl::here().map_err(kernel)?;
        if let Some(lo) = rtnl.link_by_name("lo").map_err(kernel)? {
            lo.set_up().map_err(kernel)?;
        }
        let host = Netns::current().map_err(kernel)?;
        Ok(Self {
            outside: outside::world(&host).map_err(kernel)?,
            host,
            runtime: Runtime {
                plugin_dirs: vec![plugins.dir().to_owned()],
                cache: Cache::new(&state.path().join("cache")),
                stop,
                told: None,
            },
            list: network(&leases_dir(state.path()))?,
            rtnl,
            _plugins: plugins,
            state,
        })
    }

    /// The names of the host's links.
    pub(super) fn links(&self) -> Result<Vec<String>> {
        let links = self.rtnl.links().map_err(kernel)?;
        Ok(links.into_iter().map(|link| link.name).collect())
    }

    /// The files of live leases and results.
    pub(super) fn remembered(&self) -> Vec<PathBuf> {
        let network = leases_dir(self.state.path()).join(&self.list.name);
        let results = self.state.path().join("cache/results");
        let named_after_address = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.parse::<std::net::IpAddr>().is_ok()
        };
        let leases = files(&network).filter(named_after_address);
        leases.chain(files(&results)).collect()
    }
}

fn leases_dir(state: &Path) -> PathBuf {
    state.join("networks")
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

/// The example network, with leases in a directory of the demonstration's own.
fn network(leases: &Path) -> Result<NetworkList> {
    let mut list = NetworkList::parse(EXAMPLE.as_bytes())?;
    for plugin in &mut list.plugins {
        if let Some(ipam) = plugin.keys.get_mut("ipam").and_then(Value::as_object_mut) {
            ipam.insert("dataDir".to_owned(), json!(leases));
        }
    }
    Ok(list)
}
