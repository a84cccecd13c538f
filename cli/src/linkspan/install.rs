//! The command line of `linkspan install`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use linkspan_invoke::split_path;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::{Result, confdir};
use serde_json::Map;

use super::target::Places;
use crate::complain::complain;
use crate::end::{Ended, NO};
use crate::install::{self, Network};
use crate::pause;
use crate::plugins::Bundled;
use crate::suite::Suite;
use crate::validate::Validator;

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The directory, such as /opt/cni/bin
    dir: PathBuf,
    /// Make directories that are missing
    #[arg(short, long)]
    parents: bool,
    /// Change nothing, and print what is missing or differs; the exit status is 1 where anything does
    #[arg(long)]
    check: bool,
    /// A network's configuration, put into --net-dir under its own name after the plugins, readable for its owner
    /// alone; nothing is installed where something is wrong with it
    #[arg(long, value_name = "FILE")]
    conflist: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Put plugins into this directory anew when somebody removes or replaces them, as `install` does
    #[arg(long, value_name = "DIR")]
    watch: Option<PathBuf>,
    /// The same for a network's configuration in --net-dir
    #[arg(long, value_name = "FILE", requires = "watch")]
    conflist: Option<PathBuf>,
}

pub(super) fn run(
    out: &mut dyn Write,
    places: &Places,
    args: &InstallArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    let network_file = args.conflist.as_deref();
    if args.check {
        let network = network_file.map(|file| Network::of(file, &places.net_dir));
        let lacking = install::lacking(&args.dir, network.transpose()?.as_ref(), suite.names)?;
        install::tell_lacking(out, &lacking, as_json)?;
        return Ok(if lacking.is_empty() { 0 } else { NO });
    }
    let network = network_file.map(|file| judge(file, places, &args.dir, suite));
    install::run(
        out,
        &args.dir,
        network.transpose()?.as_ref(),
        suite.names,
        (args.parents, as_json),
    )?;
    if let Some(file) = network_file {
        warn(file, &places.net_dir);
    }
    Ok(0)
}

/// Waits, and keeps what is installed where the arguments say so.
pub(super) fn pause(
    out: &mut dyn Write,
    places: &Places,
    args: &PauseArgs,
    suite: Suite<'_>,
) -> Result<()> {
    let Some(dir) = args.watch.as_deref() else {
        return pause::run();
    };
    let file = args.conflist.as_deref();
    let mut dirs = vec![dir];
    dirs.extend(file.map(|_| &*places.net_dir));
    pause::watch(&dirs, || {
        let network = file.map(|file| Network::of(file, &places.net_dir));
        let network = network.transpose()?;
        if install::lacking(dir, network.as_ref(), suite.names)?.is_empty() {
            return Ok(());
        }
        let network = file.map(|file| judge(file, places, dir, suite));
        let network = network.transpose()?;
        install::run(out, dir, network.as_ref(), suite.names, (false, false))
    })
}

/// Warns if engines use another file than the installed one. They use the first file of the directory, and the first
/// one of a name.
fn warn(file: &Path, net_dir: &Path) {
    let own = net_dir.join(file.file_name().unwrap_or_default());
    let lists = confdir::each(net_dir).unwrap_or_default();
    if let Some((first, _)) = lists.first().filter(|(first, _)| *first != own) {
        let (own, first) = (own.display(), first.display());
        complain(&format!(
            "linkspan: warning: {first} comes before {own}, so an engine of Kubernetes uses that network\n  rename {own} so that it comes first, or remove the other\n"
        ));
    }
    let ours = lists.iter().find(|(path, _)| *path == own);
    let Some((_, Ok(ours))) = ours else { return };
    for (path, list) in &lists {
        let Ok(list) = list else { continue };
        if *path != own && list.name == ours.name {
            complain(&format!(
                "linkspan: warning: {} has the name {:?}, too; engines use the first of the two\n  rename one of the networks\n",
                path.display(),
                list.name
            ));
        }
    }
}

/// Judges a list by the plugins after the installation: ours, those beside them, and those in an engine's other
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
        told: places.told,
    };
    let validator = Validator {
        runtime: &runtime,
        judges: &runtime,
        names: suite.names,
        built_in: None,
        schema: suite.schema,
        net_dir: &places.net_dir,
        capability_args: &Map::new(),
    };
    Network::judge(file, &places.net_dir, &validator)
}
