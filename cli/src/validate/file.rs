//! A file as container engines would read it. Where they would read nothing, each part is still judged by itself.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use linkspan_protocol::error::Failure;
use linkspan_runtime::conflist::{NetworkList, PluginConf, keys_of};
use linkspan_runtime::{Result, confdir, sentence};
use serde_json::{Map, Value, json};

use super::Report;

/// The extension of a list. Engines accept no other for one.
const LIST: &str = "conflist";
/// The extensions of a single plugin.
const SINGLE: [&str; 2] = ["conf", "json"];

/// The key of a list's plugins.
const PLUGINS: &str = "plugins";
/// The keys of a list that libcni reads, grouped where one decision needs several.
const HEAD: &[&[&str]] = &[
    &["name"],
    &["cniVersion", "cniVersions"],
    &["disableCheck"],
    &["disableGC"],
    &["loadOnlyInlinedPlugins"],
    &[PLUGINS],
];

/// The readable part of a file.
#[derive(Debug)]
pub(super) struct Read {
    /// The network, with the plugins that could be read.
    pub(super) list: NetworkList,
    /// The place of each plugin, for people.
    pub(super) places: Vec<String>,
    /// Whether it is a list, and not a single plugin.
    pub(super) is_list: bool,
}

/// Reads the file as it would be in `dir`, and adds its faults to the report. `None` if nothing can be judged.
pub(super) fn read(path: &Path, dir: &Path, report: &mut Report) -> Option<Read> {
    let attempt = linkspan_runtime::io(format!("error reading {}", path.display()));
    let raw = report.unless_wrong(fs::read(path).map_err(attempt))?;
    report.raw.clone_from(&raw);
    let Ok(keys) = keys_of(&raw) else {
        // The parser of lists has the better error for such a text.
        return report.unless_wrong(NetworkList::parse(&raw)).and(None);
    };
    let is_list = is_list(path, &keys);
    name(path, is_list, report);
    if !is_list {
        let list = report.unless_wrong(NetworkList::of_single(&raw))?;
        let places = list.plugins.iter().map(|plugin| plugin.kind().to_owned());
        return Some(Read {
            places: places.collect(),
            list,
            is_list,
        });
    }
    let mut list = head(&keys, report)?;
    list.plugins.clear();
    list.raw = raw;
    let mut places = Vec::new();
    let inlined = keys.get(PLUGINS).and_then(Value::as_array);
    for (index, plugin) in inlined.into_iter().flatten().enumerate() {
        let parsed = PluginConf::parse(plugin.to_string().as_bytes())
            .map_err(|err| err.context(format!("failed to parse plugin config {index}")));
        if let Some(plugin) = report.unless_wrong(parsed) {
            places.push(format!("plugins[{index}] {}", plugin.kind()));
            list.plugins.push(plugin);
        }
    }
    fragments(&mut list, dir, report);
    let more = list.plugins.iter().enumerate().skip(places.len());
    let more = more.map(|(index, plugin)| format!("plugins[{index}] {}", plugin.kind()));
    places.extend(more.collect::<Vec<_>>());
    Some(Read {
        list,
        places,
        is_list,
    })
}

/// Returns whether the file is a list. Engines decide by the name alone; here a list is judged as one under any name.
fn is_list(path: &Path, keys: &Map<String, Value>) -> bool {
    let is_single = extension(path).is_some_and(|extension| SINGLE.contains(&extension));
    has_a_lists_name(path)
        || keys.contains_key(PLUGINS)
        || !(is_single || keys.contains_key("type"))
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(OsStr::to_str)
}

/// Judges the file's name. A name without an extension, such as a pipe's, is not meant for an engine's directory.
fn name(path: &Path, is_list: bool, report: &mut Report) {
    let fits = |extension: &str| {
        let is_single = SINGLE.contains(&extension);
        if is_list {
            extension == LIST
        } else {
            is_single
        }
    };
    match extension(path) {
        Some(extension) if fits(extension) => {}
        Some(_) if is_list => report.problems.push(sentence(&not_a_lists_name())),
        Some(_) => {
            let told = Failure::config("its name ends neither with .conf nor with .json")
                .hint("rename it: container engines take no other file for a single plugin");
            report.problems.push(sentence(&told));
        }
        None => {
            let told = "its name has no extension, so container engines skip it";
            report.notes.push(told.to_owned());
        }
    }
}

/// The failure of a list's name without its extension: engines read it as a single plugin, or not at all.
pub(crate) fn not_a_lists_name() -> Failure {
    Failure::config(format!("its name does not end with .{LIST}"))
        .hint("rename it: container engines take no other file for a list")
}

/// Returns whether an engine takes the file for a list.
pub(crate) fn has_a_lists_name(path: &Path) -> bool {
    extension(path) == Some(LIST)
}

/// Reads the keys beside `plugins`, each in a list that is otherwise valid. `None` where there can be no plugins.
fn head(keys: &Map<String, Value>, report: &mut Report) -> Option<NetworkList> {
    let parse = |keys: &Map<String, Value>| {
        let text = Value::Object(keys.clone()).to_string();
        NetworkList::parse(text.as_bytes())
    };
    let mut good = Map::new();
    good.insert("name".to_owned(), json!("x"));
    good.insert("plugins".to_owned(), json!([{ "type": "x" }]));
    for group in HEAD {
        let mut tried = good.clone();
        for key in *group {
            match keys.get(*key) {
                // Plugins are judged separately.
                Some(Value::Array(some)) if *key == PLUGINS && !some.is_empty() => {}
                Some(value) => drop(tried.insert((*key).to_owned(), value.clone())),
                None => drop(tried.remove(*key)),
            }
        }
        if report.unless_wrong(parse(&tried)).is_some() {
            good = tried;
        } else if *group == [PLUGINS] {
            return None;
        }
    }
    parse(&good).ok()
}

/// Appends the plugins in files of their own. A name that cannot be a directory's is reported elsewhere.
fn fragments(list: &mut NetworkList, dir: &Path, report: &mut Report) {
    if list.network().is_err() {
        return;
    }
    let is_empty = list.plugins.is_empty();
    match confdir::with_fragments(list.clone(), dir) {
        Ok(whole) => *list = whole,
        // Unreadable plugins have been reported already.
        Err(_) if is_empty && !report.problems.is_empty() => {}
        Err(failure) => report.problems.push(sentence(&failure)),
    }
}

impl Report {
    /// The value, or `None` with the failure in the report.
    fn unless_wrong<T>(&mut self, value: Result<T>) -> Option<T> {
        value
            .inspect_err(|failure| self.problems.push(sentence(failure)))
            .ok()
    }
}
