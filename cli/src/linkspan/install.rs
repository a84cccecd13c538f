//! The command line of `linkspan install`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use linkspan_invoke::split_path;
use linkspan_runtime::Result;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::Runtime;
use serde_json::Map;

use super::target::Places;
use crate::install::{self, Network};
use crate::plugins::Bundled;
use crate::suite::Suite;
use crate::validate::Validator;

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The directory, such as /opt/cni/bin
    dir: PathBuf,
    /// A network's configuration, put into --net-dir under its own name after the plugins, readable for its owner
    /// alone; nothing is installed where something is wrong with it
    #[arg(long, value_name = "FILE")]
    conflist: Option<PathBuf>,
}

pub(super) fn run(
    out: &mut dyn Write,
    places: &Places,
    args: &InstallArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Result<()> {
    let network = args.conflist.as_deref();
    let network = network.map(|file| judge(file, places, &args.dir, suite));
    install::run(
        out,
        &args.dir,
        network.transpose()?.as_ref(),
        suite.names,
        as_json,
    )
}

/// Judges a list by the plugins after the installation: ours, and those beside them or in an engine's other
/// directories.
fn judge(file: &Path, places: &Places, dir: &Path, suite: Suite<'_>) -> Result<Network> {
    let own = Bundled::link(suite.names)?;
    let mut plugin_dirs = vec![own.dir().to_owned(), dir.to_owned()];
    plugin_dirs.extend(split_path(
        places.plugin_dirs.as_deref().unwrap_or_default(),
    ));
    let runtime = Runtime {
        plugin_dirs,
        cache: Cache::new(&places.cache_dir),
        stop: places.stop.clone(),
    };
    let validator = Validator {
        runtime: &runtime,
        judges: &runtime,
        names: suite.names,
        schema: suite.schema,
        net_dir: &places.net_dir,
        capability_args: &Map::new(),
    };
    Network::judge(file, &places.net_dir, &validator)
}
