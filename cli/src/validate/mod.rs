//! `linkspan validate`: the faults of a network's configuration, before any container needs it.

mod file;
mod foreign;
mod keys;
mod nearest;
mod plugin;
mod system;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use linkspan_protocol::schema::Schema;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::{NetworkList, keys_of};
use linkspan_runtime::{Result, sentence};
use serde_json::{Map, Value, json};

use crate::output;

pub(crate) use file::{has_a_lists_name, not_a_lists_name};

/// The keys of a list, beside its plugins; unlike those of a plugin they are case-sensitive.
const LIST_KEYS: [&str; 7] = [
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "name",
    "plugins",
];

/// The key by which editors find the schema of a file.
const SCHEMA: &str = "$schema";

/// The judge of configurations.
#[derive(Debug)]
pub(crate) struct Validator<'a> {
    /// Finds the network's plugins, which also judge its values.
    pub(crate) runtime: &'a Runtime,
    /// Finds this binary's plugins first, which judge instead of plugins without STATUS.
    pub(crate) judges: &'a Runtime,
    /// The plugins of this binary.
    pub(crate) names: &'a [&'a str],
    /// The schema of a plugin's configuration, where that is known.
    pub(crate) schema: fn(&str) -> Option<Schema>,
    /// The directory with this binary's plugins, where `runtime` looks for those that an engine would not find.
    pub(crate) built_in: Option<&'a Path>,
    /// The directory of an engine's networks, whose lists are compared with each other.
    pub(crate) net_dir: &'a Path,
    /// The container runtime's values for capabilities.
    pub(crate) capability_args: &'a Map<String, Value>,
}

/// The findings of one file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The faults.
    pub(crate) problems: Vec<String>,
    /// Faults that do not fail an ADD.
    pub(crate) warnings: Vec<String>,
    /// The file's content.
    pub(crate) raw: Vec<u8>,
    /// Remarks that are not faults.
    notes: Vec<String>,
    /// Capabilities that a plugin declares.
    declared: BTreeSet<String>,
    /// Capabilities that a plugin would read.
    readable: BTreeSet<String>,
}

/// The output of findings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    pub(crate) as_json: bool,
    /// Whether notes are printed.
    pub(crate) notes: bool,
    /// Whether a warning counts as a fault.
    pub(crate) is_strict: bool,
}

/// Prints the findings of each file, a line each. Returns whether there is no fault.
pub(crate) fn run(
    out: &mut dyn Write,
    validator: &Validator<'_>,
    files: &[PathBuf],
    telling: Telling,
) -> Result<bool> {
    let (mut all_good, mut rows) = (true, Vec::new());
    for path in files {
        let report = validator.file(path, path.parent().unwrap_or(Path::new("")));
        let is_good =
            report.problems.is_empty() && (!telling.is_strict || report.warnings.is_empty());
        all_good &= is_good;
        let notes: &[String] = if telling.notes { &report.notes } else { &[] };
        let kinds = [
            ("error", &*report.problems),
            ("warning", &*report.warnings),
            ("note", notes),
        ];
        for (severity, findings) in kinds {
            for what in findings {
                if telling.as_json {
                    rows.push(json!({ "file": path, "severity": severity, "what": what }));
                    continue;
                }
                let severity = match severity {
                    "error" => String::new(),
                    other => format!("{other}: "),
                };
                output::text(out, &format!("{}: {severity}{what}\n", path.display()))?;
            }
        }
        if is_good && !telling.as_json {
            output::text(out, &format!("{}: ok\n", path.display()))?;
        }
    }
    if telling.as_json {
        output::rows(out, &rows)?;
    }
    Ok(all_good)
}

impl Validator<'_> {
    /// Judges a file as it would be in the directory `dir`: all of it, even where a part is wrong.
    pub(crate) fn file(&self, path: &Path, dir: &Path) -> Report {
        let mut report = Report::default();
        if let Some(read) = file::read(path, dir, &mut report) {
            self.network(&read, &mut report);
            self.beside_others(path, dir, &read.list, &mut report);
        }
        report
    }

    fn network(&self, read: &file::Read, report: &mut Report) {
        let list = &read.list;
        let refused = [list.network().err(), list.numbers().err()];
        let refused = refused.iter().flatten().map(sentence);
        report.problems.extend(refused);
        if read.is_list {
            list_keys(list, report);
        }
        for (plugin, place) in list.plugins.iter().zip(&read.places) {
            self.plugin(list, plugin, place, report);
        }
        self.capabilities(report);
    }

    /// Reports values that reach no plugin.
    fn capabilities(&self, report: &mut Report) {
        let undeclared = |name: &&String| !report.declared.contains(*name);
        let lost: Vec<String> = self
            .capability_args
            .keys()
            .filter(undeclared)
            .map(|name| format!("capability {name} is declared by no plugin"))
            .collect();
        let unused: Vec<&str> = report
            .readable
            .iter()
            .filter(undeclared)
            .map(String::as_str)
            .collect();
        if !unused.is_empty() {
            report.notes.push(format!(
                "declared by no plugin, though it could be: capability {}",
                unused.join(", ")
            ));
        }
        report.problems.extend(lost);
    }
}

/// Judges the keys beside `plugins`.
fn list_keys(list: &NetworkList, report: &mut Report) {
    let top = keys_of(&list.raw).unwrap_or_default();
    for key in top.keys() {
        if LIST_KEYS.contains(&key.as_str()) || key == SCHEMA || key.starts_with("cni.dev/") {
            continue;
        }
        match keys::unknown(key, &LIST_KEYS) {
            // Container engines keep labels of their own here.
            Ok(note) => report.notes.push(format!("{key}: {note}")),
            Err(problem) => report.problems.push(format!("{key}: {problem}")),
        }
    }
    if !top.contains_key("cniVersion") && !top.contains_key("cniVersions") {
        let note = "no cniVersion: plugins are asked in version 0.1.0";
        report.notes.push(note.to_owned());
    }
}
