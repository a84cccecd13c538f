//! Commands about a network as a whole.

use std::io::Write;

use linkspan_protocol::ident::NetworkName;
use linkspan_runtime::attachment::parse_capability_args;
use linkspan_runtime::confdir;
use serde_json::json;

use super::args::{DoctorArgs, RestoreArgs, ValidateArgs};
use super::gc::attachments;
use super::target::Places;
use super::{print, report};
use crate::end::Ended;
use crate::metrics::{self, MetricsArgs};
use crate::output::{self, Output};
use crate::plugins::{Bundled, USUAL};
use crate::suite::Suite;
use crate::validate::{Telling, Validator};
use crate::{doctor, validate};

/// The exit status is 1 if something could not be restored.
pub(super) fn restore(
    out: &mut dyn Write,
    places: &Places,
    args: &RestoreArgs,
    plugins: &[&str],
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let network = match args.network.as_deref() {
        Some(name) if name.contains('/') => Some(places.network(name)?.network()?),
        Some(name) => Some(NetworkName::parse(name)?),
        None => None,
    };
    let only = attachments(&args.only)?;
    let only = (!only.is_empty()).then_some(&only[..]);
    let restored = runtime.restore(network.as_ref(), only)?;
    restored.failures.iter().for_each(report);
    if as_json {
        let rows = restored.whole.iter().map(|entry| {
            json!({ "network": entry.network_name, "container": entry.container_id,
                "interface": entry.if_name, "netns": entry.netns, "restored": true })
        });
        output::rows(out, &rows.collect::<Vec<_>>())?;
        return Ok(u8::from(!restored.failures.is_empty()));
    }
    for entry in &restored.whole {
        let (network, id, ifname) = (&entry.network_name, &entry.container_id, &entry.if_name);
        print(out, &format!("restored {network} {id} {ifname}"))?;
    }
    Ok(u8::from(!restored.failures.is_empty()))
}

/// The exit status is 1 if there is a problem.
pub(super) fn validate(
    out: &mut dyn Write,
    places: &Places,
    args: &ValidateArgs,
    suite: Suite<'_>,
    output: Output,
) -> Ended {
    let (runtime, bundled) = places.runtime(suite.names)?;
    let capability_args = match args.capability_args.as_str() {
        "" => serde_json::Map::new(),
        text => parse_capability_args(text)?,
    };
    let own = Bundled::link(suite.names)?;
    let mut judges = runtime.clone();
    judges.plugin_dirs.insert(0, own.dir().to_owned());
    let validator = Validator {
        runtime: &runtime,
        judges: &judges,
        names: suite.names,
        built_in: bundled.as_ref().map(Bundled::dir),
        schema: suite.schema,
        net_dir: &places.net_dir,
        capability_args: &capability_args,
    };
    let files = match args.files.as_slice() {
        [] => confdir::each(&places.net_dir)?
            .into_iter()
            .map(|(path, _)| path)
            .collect(),
        named => named.to_vec(),
    };
    let telling = Telling {
        as_json: output.json,
        notes: output.verbose > 0,
        is_strict: args.strict,
    };
    let all_good = validate::run(out, &validator, &files, telling)?;
    Ok(u8::from(!all_good))
}

/// Examines the node or a part of it.
pub(super) fn doctor(
    out: &mut dyn Write,
    places: &Places,
    args: &DoctorArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    examined(places, suite, args.probe, |examined| {
        doctor::run(out, examined, args.subject.as_deref(), as_json)
    })
}

/// Prints the node in numbers.
pub(super) fn metrics(
    out: &mut dyn Write,
    places: &Places,
    args: &MetricsArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    examined(places, suite, false, |examined| {
        metrics::run(out, examined, args, as_json)?;
        Ok(0)
    })
}

fn examined(
    places: &Places,
    suite: Suite<'_>,
    probes: bool,
    run: impl FnOnce(doctor::Places<'_>) -> Ended,
) -> Ended {
    let (runtime, bundled) = places.runtime(suite.names)?;
    // An engine does not find plugins that are only in this binary.
    let engine = match bundled {
        Some(_) => vec![USUAL.into()],
        None => runtime.plugin_dirs.clone(),
    };
    run(doctor::Places {
        net_dir: &places.net_dir,
        cache_dir: &places.cache_dir,
        plugin_dirs: &engine,
        runtime: &runtime,
        suite,
        probes,
    })
}
