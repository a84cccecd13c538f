//! `linkspan status`: whether the plugins of a network, or of every network, could attach a container now.

use std::io::Write;

use linkspan_invoke::find;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::{NetworkList, PluginConf};
use linkspan_runtime::{Result, confdir};
use serde_json::{Value, json};

use super::check::worse;
use super::target::Places;
use super::{print, report};
use crate::end::{CANNOT_TELL, Ended, answer_of};
use crate::output;
use crate::plugins::{Bundled, USUAL};
use crate::suite::Suite;
use crate::warnings;

/// Asks about one network, or about every network of the directory.
pub(super) fn run(
    out: &mut dyn Write,
    places: &Places,
    network: Option<&str>,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    let (runtime, bundled) = places.runtime(suite.names)?;
    let asked = Asked {
        runtime: &runtime,
        bundled: bundled.as_ref(),
        suite,
    };
    let lists = match network {
        Some(name) => vec![places.network(name)?],
        None => every(places)?,
    };
    let (mut status, mut rows) = (0, Vec::new());
    for list in &lists {
        let (one, row) = asked.one(out, list, as_json)?;
        status = worse(status, one);
        rows.push(row);
    }
    if as_json {
        output::rows(out, &rows)?;
    } else if lists.is_empty() {
        print(out, &format!("no networks in {}", places.net_dir.display()))?;
    }
    Ok(status)
}

/// The networks of the directory, the first of each name. A file that cannot be decoded is reported.
pub(super) fn every(places: &Places) -> Result<Vec<NetworkList>> {
    let mut lists: Vec<NetworkList> = Vec::new();
    for (_, list) in confdir::each(&places.net_dir)? {
        match list {
            Ok(list) if lists.iter().any(|one| one.name == list.name) => {}
            Ok(list) => lists.push(list),
            Err(failure) => report(&failure),
        }
    }
    Ok(lists)
}

struct Asked<'a> {
    runtime: &'a Runtime,
    bundled: Option<&'a Bundled>,
    suite: Suite<'a>,
}

impl Asked<'_> {
    /// Prints the answer of one network. Returns the exit status and the answer as an object.
    fn one(&self, out: &mut dyn Write, list: &NetworkList, as_json: bool) -> Result<(u8, Value)> {
        let name = &list.name;
        let asked = self.runtime.strict_status(list);
        let (status, ready) = match &asked {
            Err(failure) => (answer_of(failure), Some(false)),
            Ok(()) if list.knows_gc_and_status() => (0, Some(true)),
            Ok(()) => (CANNOT_TELL, None),
        };
        let plugins: Vec<Value> = kinds(list).iter().map(|kind| self.plugin(kind)).collect();
        let ready = ready.filter(|_| status != CANNOT_TELL);
        let told = asked.as_ref().err().map(linkspan_runtime::sentence);
        let row = json!({ "network": name, "ready": ready, "error": told, "plugins": plugins });
        if as_json {
            return Ok((status, row));
        }
        match &asked {
            Err(failure) => {
                report(failure);
                return Ok((status, row));
            }
            Ok(()) if ready.is_some() => {
                let kinds: Vec<_> = list.plugins.iter().map(PluginConf::kind).collect();
                print(out, &format!("{name}: ready ({})", kinds.join(", ")))?;
            }
            Ok(()) => {
                let version = &list.version;
                let told =
                    format!("{name}: cniVersion {version:?} has no STATUS, no plugin was asked");
                print(out, &told)?;
            }
        }
        print_places(out, &plugins)?;
        self.warn(list);
        Ok((status, row))
    }

    /// The place of a plugin, and whether an engine would find it.
    fn plugin(&self, kind: &str) -> Value {
        let path = find(kind, &self.runtime.plugin_dirs).ok();
        let is_within = |own: &&Bundled| {
            path.as_ref()
                .is_some_and(|path| path.starts_with(own.dir()))
        };
        let is_built_in = self.bundled.as_ref().is_some_and(is_within);
        let path = path.filter(|_| !is_built_in);
        json!({
            "type": kind,
            "path": path.map(|path| path.display().to_string()),
            "builtIn": is_built_in,
        })
    }

    /// A failed look is reported, and does not change the exit status.
    fn warn(&self, list: &NetworkList) {
        if let Err(failure) = warnings::print_lost(list, self.runtime) {
            report(&failure.context("look for lost state of containers"));
        }
        if let Err(failure) = warnings::print(list, self.suite) {
            report(&failure.context("look for obstacles to packets"));
        }
    }
}

fn print_places(out: &mut dyn Write, plugins: &[Value]) -> Result<()> {
    for plugin in plugins {
        let kind = plugin
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let line = match plugin.get("path").and_then(Value::as_str) {
            Some(path) => format!("  {kind}: {path}"),
            None => format!(
                "  {kind}: in this binary alone, so an engine does not find it -> linkspan install {USUAL}"
            ),
        };
        print(out, &line)?;
    }
    Ok(())
}

/// The types of a network's plugins, IPAM included.
pub(super) fn kinds(list: &NetworkList) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for plugin in &list.plugins {
        let ipam = plugin
            .keys
            .get("ipam")
            .and_then(|ipam| ipam.get("type")?.as_str());
        let both = [Some(plugin.kind()), ipam].into_iter().flatten();
        for kind in both.filter(|kind| !kind.is_empty()) {
            if !kinds.iter().any(|known| known == kind) {
                kinds.push(kind.to_owned());
            }
        }
    }
    kinds
}
