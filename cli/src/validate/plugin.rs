//! Judges one plugin of a list: its presence, versions, keys and values.

use linkspan_invoke::find;
use linkspan_protocol::command::Command;
use linkspan_protocol::conf::standard_schema;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::schema::Schema;
use linkspan_protocol::version::SpecVersion;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::{NetworkList, PluginConf};
use linkspan_runtime::{Result, inject, sentence};
use serde_json::{Value, json};

use super::nearest::nearest;
use super::{Report, Validator, keys};
use crate::plugins::USUAL;

const IPAM: &str = "ipam";

/// A plugin's part of the protocol, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Speaks {
    /// It knows STATUS.
    Status,
    /// It is too old for STATUS.
    Less,
    /// It is missing.
    Missing,
}

/// The question to the plugins.
struct Asked {
    /// The configuration without values of a wrong type.
    plugin: PluginConf,
    /// Whether the IPAM plugin's part is complete.
    ipam_is_whole: bool,
    /// The plugin and its IPAM plugin.
    speaks: [Speaks; 2],
}

/// The runtime, the plugin that judges, and a remark about it.
type Judge<'a> = (&'a Runtime, &'a str, &'static str);

/// The known keys of a plugin.
struct Known {
    schema: Schema,
    /// The paths of objects that may have other keys.
    open: Vec<&'static str>,
    /// Whether every capability that can be read is in the schema.
    all_capabilities: bool,
}

impl Validator<'_> {
    pub(super) fn plugin(
        &self,
        list: &NetworkList,
        plugin: &PluginConf,
        place: &str,
        report: &mut Report,
    ) {
        let kinds = [plugin.kind(), plugin.standard.ipam.kind.as_str()];
        let [speaks, ipam_speaks] = kinds.map(|kind| match kind {
            "" => Speaks::Status,
            kind => self.speaks(list, kind, place, report),
        });
        let known = self.known(plugin, place, report);
        let conf = Value::Object(plugin.keys.clone());
        let found = keys::judge(&conf, &known.schema, &known.open);
        let placed = |told: String| format!("{place}: {told}");
        report
            .problems
            .extend(found.problems.into_iter().map(placed));
        report.notes.extend(found.notes.into_iter().map(placed));
        declared(plugin, &known, place, report);
        if list.network().is_ok() {
            let asked = Asked {
                plugin: without(plugin, &found.misfits),
                ipam_is_whole: !found
                    .misfits
                    .iter()
                    .any(|path| member(path).eq_ignore_ascii_case(IPAM)),
                speaks: [speaks, ipam_speaks],
            };
            self.values(list, &asked, place, report);
        }
    }

    /// Makes the plugins judge the values. The IPAM plugin comes first, because the plugin that delegates to it may
    /// lack rights here and never ask it.
    fn values(&self, list: &NetworkList, asked: &Asked, place: &str, report: &mut Report) {
        let [speaks, ipam_speaks] = asked.speaks;
        let both = speaks.max(ipam_speaks);
        let judges = [
            (
                self.delegate_of(&asked.plugin, ipam_speaks),
                asked.ipam_is_whole,
            ),
            (self.judge_of(asked.plugin.kind(), both), true),
        ];
        let mut heard = Vec::new();
        for (judge, is_told) in judges {
            let Some((runtime, kind, by)) = judge else {
                continue;
            };
            let Err(failure) = self.ask(runtime, kind, list, &asked.plugin) else {
                continue;
            };
            let said = sentence(&failure);
            if is_told && !heard.contains(&said) {
                let is_there = both != Speaks::Missing;
                tell(&failure, &format!("{place}{by}"), is_there, report);
            }
            heard.push(said);
        }
    }

    /// Reports the place of a plugin. An engine does not find one that only this binary has.
    fn found(&self, kind: &str, place: &str, report: &mut Report) {
        let Ok(path) = find(kind, &self.runtime.plugin_dirs) else {
            return;
        };
        if self.built_in.is_some_and(|dir| path.starts_with(dir)) {
            report.warnings.push(format!(
                "{place}: an engine does not find {kind}, which only this binary has; linkspan install {USUAL}"
            ));
        } else {
            report
                .notes
                .push(format!("{place}: {kind} is {}", path.display()));
        }
    }

    /// Judges a plugin's presence and versions.
    fn speaks(&self, list: &NetworkList, kind: &str, place: &str, report: &mut Report) -> Speaks {
        let wanted = match list.version.as_str() {
            "" => SpecVersion::V0_1_0.as_str(),
            version => version,
        };
        let versions = match self.runtime.versions(kind) {
            Ok(versions) => {
                self.found(kind, place, report);
                versions
            }
            Err(failure) => {
                let meant = nearest(kind, self.names.iter().copied()).filter(|name| *name != kind);
                let meant = meant.map(|name| format!("; did you mean {name}?"));
                let meant = meant.unwrap_or_default();
                let told = format!("{place}: {}{meant}", sentence(&failure));
                report.problems.push(told);
                return Speaks::Missing;
            }
        };
        let has = |wanted: &str| versions.iter().any(|version| version == wanted);
        if !has(wanted) {
            report.problems.push(format!(
                "{place}: plugin {kind} does not support config version {wanted:?}; it supports {}",
                versions.join(", ")
            ));
        }
        if has(SpecVersion::V1_1_0.as_str()) {
            Speaks::Status
        } else {
            Speaks::Less
        }
    }

    /// The plugin `kind` with STATUS: the network's own, or else this binary's, if it has one.
    fn judge_of<'a>(&'a self, kind: &'a str, speaks: Speaks) -> Option<Judge<'a>> {
        let is_ours = (self.schema)(kind).is_some();
        match (speaks == Speaks::Status, is_ours) {
            (true, _) => Some((self.runtime, kind, "")),
            (false, true) => Some((self.judges, kind, " (the one in this binary)")),
            (false, false) => None,
        }
    }

    /// The same for the plugin's IPAM plugin. A plugin of another suite may give it another configuration than the
    /// written one.
    fn delegate_of<'a>(&'a self, plugin: &'a PluginConf, speaks: Speaks) -> Option<Judge<'a>> {
        let ipam = plugin.standard.ipam.kind.as_str();
        let is_handed_on = !ipam.is_empty() && (self.schema)(plugin.kind()).is_some();
        is_handed_on.then(|| self.judge_of(ipam, speaks))?
    }

    fn known(&self, plugin: &PluginConf, place: &str, report: &mut Report) -> Known {
        let mut known = Known {
            schema: standard_schema(),
            open: vec!["args", "args.cni"],
            all_capabilities: true,
        };
        let ipam = plugin.standard.ipam.kind.as_str();
        for (kind, open) in [(plugin.kind(), &["", "ipam"][..]), (ipam, &["ipam"])] {
            if kind.is_empty() {
                continue;
            }
            if let Some(schema) = (self.schema)(kind) {
                known.schema = known.schema.and(schema);
                continue;
            }
            known.open.extend(open);
            known.open.push("runtimeConfig");
            known.all_capabilities = false;
            let told = "has no schema here, only the common keys were judged";
            report.notes.push(format!("{place}: {kind} {told}"));
        }
        known
    }

    /// Asks a plugin itself, by STATUS, which decodes and judges the configuration as ADD would and changes nothing.
    fn ask(
        &self,
        judge: &Runtime,
        kind: &str,
        list: &NetworkList,
        plugin: &PluginConf,
    ) -> Result<()> {
        let mut added = inject::runtime_config(plugin, self.capability_args);
        added.push(("cniVersion", json!(SpecVersion::V1_1_0.as_str())));
        let stdin = inject::stdin(list, plugin, added)?;
        let told = judge.exec(Command::Status, kind, None, &stdin);
        told.map(drop)
    }
}

/// The configuration without members of the wrong type, which have been reported already. The IPAM plugin's name
/// stays.
fn without(plugin: &PluginConf, misfits: &[String]) -> PluginConf {
    let mut plugin = plugin.clone();
    for name in misfits.iter().map(|path| member(path)) {
        if name.eq_ignore_ascii_case(IPAM) {
            let kind = json!({ "type": plugin.standard.ipam.kind });
            plugin.keys.insert(name.to_owned(), kind);
        } else {
            plugin.keys.remove(name);
        }
    }
    plugin
}

/// The member of the configuration that a path leads into.
fn member(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// Reports a plugin's answer to the values of its configuration.
fn tell(failure: &Failure, place: &str, is_there: bool, report: &mut Report) {
    let told = format!("{place}: {}", sentence(failure));
    match failure.code() {
        ErrorCode::INVALID_NETWORK_CONFIG | ErrorCode::DECODING | ErrorCode::UNSUPPORTED_FIELD => {
            report.problems.push(told);
        }
        // A foreign IPAM plugin has no STATUS.
        ErrorCode::INCOMPATIBLE_VERSION | ErrorCode::INVALID_ENVIRONMENT => {}
        // The configuration is valid, but this machine cannot attach, or not now. For a missing plugin that is
        // expected.
        _ if is_there => report.notes.push(told),
        _ => {}
    }
}

/// Notes the capabilities that the plugin declares and those that it could, and judges the former by the latter.
fn declared(plugin: &PluginConf, known: &Known, place: &str, report: &mut Report) {
    let readable = known.schema.key("runtimeConfig");
    let readable = readable.unwrap_or(&Schema::Any);
    report.readable.extend(readable.keys().map(str::to_owned));
    let declared = plugin.standard.capabilities.iter();
    for (name, _) in declared.filter(|(_, on)| **on) {
        report.declared.insert(name.clone());
        if known.all_capabilities && readable.key(name).is_none() {
            let told = match nearest(name, readable.keys()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "nothing in this plugin reads it".to_owned(),
            };
            report
                .problems
                .push(format!("{place}: capabilities.{name}: {told}"));
        }
    }
}
