//! One plugin of a list: whether it is there, speaks the version, knows the keys, and takes the values.

use linkspan_protocol::command::Command;
use linkspan_protocol::conf::standard_schema;
use linkspan_protocol::error::ErrorCode;
use linkspan_protocol::schema::Schema;
use linkspan_protocol::version::SpecVersion;
use serde_json::{Value, json};

use super::nearest::nearest;
use super::{Report, Validator, keys};
use crate::chain::Runtime;
use crate::conflist::{NetworkList, PluginConf};
use crate::{Result, inject, sentence};

/// What may be said of a plugin's keys.
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
        let before = report.problems.len();
        let speaks_status = self.speaks(list, plugin, place, report);
        let is_ours = (self.schema)(plugin.kind()).is_some();
        let judge = match (speaks_status, is_ours) {
            (true, _) => Some((self.runtime, place.to_owned())),
            (false, true) => Some((self.judges, format!("{place} (the one in this binary)"))),
            (false, false) => None,
        };
        let known = self.known(plugin, place, report);
        let conf = Value::Object(plugin.keys.clone());
        let wrong = keys::judge(&conf, &known.schema, &known.open);
        let wrong = wrong.into_iter().map(|what| format!("{place}: {what}"));
        report.problems.extend(wrong);
        declared(plugin, &known, place, report);
        if let Some((judge, place)) = judge
            && report.problems.len() == before
            && list.network().is_ok()
        {
            let asked = self.ask(judge, list, plugin);
            values(asked, &place, report);
        }
    }

    /// Judges whether the plugin and its IPAM plugin are there and speak the list's version; whether they know STATUS.
    fn speaks(
        &self,
        list: &NetworkList,
        plugin: &PluginConf,
        place: &str,
        report: &mut Report,
    ) -> bool {
        let wanted = match list.version.as_str() {
            "" => SpecVersion::V0_1_0.as_str(),
            version => version,
        };
        let kinds = [plugin.kind(), &plugin.standard.ipam.kind];
        let mut know_status = true;
        for kind in kinds.into_iter().filter(|kind| !kind.is_empty()) {
            let versions = self.runtime.versions(kind).unwrap_or_else(|failure| {
                let meant = nearest(kind, self.names.iter().copied()).filter(|name| *name != kind);
                let meant = meant.map(|name| format!("; did you mean {name}?"));
                let meant = meant.unwrap_or_default();
                report
                    .problems
                    .push(format!("{place}: {}{meant}", sentence(&failure)));
                vec![wanted.to_owned()]
            });
            if !versions.iter().any(|version| version == wanted) {
                report.problems.push(format!(
                    "{place}: plugin {kind} does not support config version {wanted:?}; it supports {}",
                    versions.join(", ")
                ));
            }
            know_status &= versions
                .iter()
                .any(|version| version == SpecVersion::V1_1_0.as_str());
        }
        know_status
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

    /// Asks the plugin itself, by STATUS, which decodes and judges the configuration as ADD would and changes nothing.
    fn ask(&self, judge: &Runtime, list: &NetworkList, plugin: &PluginConf) -> Result<()> {
        let mut added = inject::runtime_config(plugin, self.capability_args);
        added.push(("cniVersion", json!(SpecVersion::V1_1_0.as_str())));
        let stdin = inject::stdin(list, plugin, added)?;
        let told = judge.exec(Command::Status, plugin.kind(), None, &stdin);
        told.map(drop)
    }
}

/// What the plugin said to the values of its configuration.
fn values(asked: Result<()>, place: &str, report: &mut Report) {
    let Err(failure) = asked else {
        return;
    };
    let told = format!("{place}: {}", sentence(&failure));
    match failure.code() {
        ErrorCode::INVALID_NETWORK_CONFIG | ErrorCode::DECODING | ErrorCode::UNSUPPORTED_FIELD => {
            report.problems.push(told);
        }
        // A foreign IPAM plugin has no STATUS.
        ErrorCode::INCOMPATIBLE_VERSION | ErrorCode::INVALID_ENVIRONMENT => {}
        // The configuration is good, but this machine is not, or not now.
        _ => report.notes.push(told),
    }
}

/// Notes which capabilities the plugin declares and which ones it could, and judges the former by the latter.
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
