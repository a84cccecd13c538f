//! `linkspan clear` and `linkspan uninstall`: removal of things that living attachments may need.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::Result;
use linkspan_runtime::cache::Cache;
use linkspan_runtime::conflist::PluginConf;
use serde_json::{Value, json};

use super::print;
use super::target::Places;
use crate::attachments::{Attached, all};
use crate::install;
use crate::output;
use crate::plugins::USUAL;
use crate::suite::Suite;

/// The plugins with state in nf_tables for an attachment.
const FILTERS: [&str; 5] = ["bridge", "firewall", "portmap", "ptp", "veth"];

/// The number of attachments that a refusal names.
const NAMED: usize = 5;

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct RemoveArgs {
    /// Remove even things that living attachments need
    #[arg(long)]
    force: bool,
    /// Print the things to remove, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    /// The directory
    #[arg(default_value = USUAL)]
    dir: PathBuf,
    /// Remove this file of --net-dir, too, before the plugins
    #[arg(long, value_name = "FILE")]
    conflist: Option<OsString>,
    #[command(flatten)]
    how: RemoveArgs,
}

pub(super) fn clear(
    out: &mut dyn Write,
    places: &Places,
    args: RemoveArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Result<()> {
    let needs = |plugin: &PluginConf| {
        let masks = plugin.keys.get("ipMasq") == Some(&Value::Bool(true));
        let always = ["firewall", "portmap"].contains(&plugin.kind());
        FILTERS.contains(&plugin.kind()) && (always || masks)
    };
    let living = living(places, needs)?;
    if args.dry_run {
        let told = format!(
            "would remove the table inet linkspan; {} living attachments need it",
            living.len()
        );
        return tell(out, as_json, &json!({ "removed": false }), &told);
    }
    refuse(&living, args, "their ports and masquerade")?;
    let removed = (suite.clear)()?;
    let told = match (removed, living.is_empty()) {
        (false, _) => "there is nothing to remove",
        (true, true) => "removed",
        (true, false) => {
            "removed; containers that are still attached have lost their ports and masquerade"
        }
    };
    tell(out, as_json, &json!({ "removed": removed }), told)
}

/// Removes the names of the plugins that are links to the copy of this suite, and the copy.
pub(super) fn uninstall(
    out: &mut dyn Write,
    places: &Places,
    args: &UninstallArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Result<()> {
    let mut files = install::installed(&args.dir, suite.names);
    // An engine that has no list asks for no plugin any more.
    if let Some(list) = list_of(places, args)? {
        files.insert(0, list);
    }
    let ours = |plugin: &PluginConf| suite.names.contains(&plugin.kind());
    let living = living(places, ours)?;
    if !args.how.dry_run && !files.is_empty() {
        refuse(&living, args.how, "the plugins, which detach them")?;
    }
    let mut rows = Vec::new();
    for path in &files {
        if !args.how.dry_run {
            fs::remove_file(path)
                .map_err(linkspan_runtime::io(format!("remove {}", path.display())))?;
        }
        let verb = if args.how.dry_run {
            "would remove"
        } else {
            "removed"
        };
        if !as_json {
            print(out, &format!("{verb} {}", path.display()))?;
        }
        rows.push(json!({ "path": path, "removed": !args.how.dry_run }));
    }
    if as_json {
        return output::rows(out, &rows);
    }
    if files.is_empty() {
        print(
            out,
            &format!("{} has no plugins of this suite", args.dir.display()),
        )?;
    }
    Ok(())
}

/// The list that is to be removed, where it is there.
fn list_of(places: &Places, args: &UninstallArgs) -> Result<Option<PathBuf>> {
    let Some(name) = &args.conflist else {
        return Ok(None);
    };
    if Path::new(name).file_name() != Some(name) {
        let told = format!("{} is not the name of a file", name.to_string_lossy());
        return Err(Failure::new(ErrorCode::INVALID_ENVIRONMENT, told)
            .hint("name a file of --net-dir, without a directory"));
    }
    let path = places.net_dir.join(name);
    Ok(path.is_file().then_some(path))
}

fn tell(out: &mut dyn Write, as_json: bool, row: &Value, text: &str) -> Result<()> {
    if as_json {
        return output::rows(out, std::slice::from_ref(row));
    }
    print(out, text)
}

/// The attachments that are not certainly gone, and whose network has such a plugin. An unreadable one may have it.
fn living(places: &Places, has: impl Fn(&PluginConf) -> bool) -> Result<Vec<Attached>> {
    let (mut every, _unreadable) = all(&Cache::new(&places.cache_dir))?;
    every.retain(|one| {
        let list = one.entry.network();
        one.life != Life::Gone && list.map_or(true, |list| list.plugins.iter().any(&has))
    });
    Ok(every)
}

fn refuse(living: &[Attached], args: RemoveArgs, what: &str) -> Result<()> {
    if args.force || living.is_empty() {
        return Ok(());
    }
    let told = format!("{} living attachments need {what}", living.len());
    let failure = Failure::new(ErrorCode::INTERNAL, told);
    let named = living.iter().take(NAMED);
    let failure = named.fold(failure, |failure, one| failure.detail(one.describe()));
    Err(failure.hint("detach them first (`linkspan list` prints all), or add --force"))
}
