//! Commands about a network as a whole.

use std::io::Write;

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use linkspan_runtime::Result;
use linkspan_runtime::attachment::parse_capability_args;
use linkspan_runtime::conflist::PluginConf;

use super::target::Places;
use super::{DoctorArgs, GcArgs, RestoreArgs, ValidateArgs, print, report};
use crate::plugins::{Bundled, USUAL};
use crate::suite::Suite;
use crate::validate::Validator;
use crate::{doctor, validate, warnings};

/// The exit status is 1 where something could not be collected.
pub(super) fn gc(
    out: &mut dyn Write,
    places: &Places,
    args: &GcArgs,
    plugins: &[&str],
) -> Result<u8> {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let list = places.load(&args.network)?;
    if list.disable_gc {
        print(
            out,
            &format!("{}: disableGC is set, nothing was done", list.name),
        )?;
        return Ok(0);
    }
    let collected = if args.gone.is_empty() {
        let mut valid = runtime.alive(&list)?;
        valid.extend(parse_all(&args.keep)?);
        runtime.gc(&list, Some(&valid))
    } else {
        runtime.detach(&list, &parse_all(&args.gone)?)
    };
    for id in &collected.deleted {
        print(out, &format!("deleted {} {}", id.container_id, id.ifname))?;
    }
    collected.failures.iter().for_each(report);
    Ok(u8::from(!collected.failures.is_empty()))
}

/// The exit status is 1 where something could not be restored.
pub(super) fn restore(
    out: &mut dyn Write,
    places: &Places,
    args: &RestoreArgs,
    plugins: &[&str],
) -> Result<u8> {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let network = match args.network.as_deref() {
        Some(name) if name.contains('/') => Some(places.load(name)?.network()?),
        Some(name) => Some(NetworkName::parse(name)?),
        None => None,
    };
    let only = parse_all(&args.only)?;
    let only = (!only.is_empty()).then_some(&only[..]);
    let restored = runtime.restore(network.as_ref(), only)?;
    for entry in &restored.whole {
        let (network, id, ifname) = (&entry.network_name, &entry.container_id, &entry.if_name);
        print(out, &format!("restored {network} {id} {ifname}"))?;
    }
    restored.failures.iter().for_each(report);
    Ok(u8::from(!restored.failures.is_empty()))
}

fn parse_all(texts: &[String]) -> Result<Vec<AttachmentId>> {
    texts.iter().map(|text| parse_one(text)).collect()
}

fn parse_one(text: &str) -> Result<AttachmentId> {
    let (container, ifname) = text.split_once('/').ok_or_else(|| {
        Failure::new(
            ErrorCode::INVALID_ENVIRONMENT,
            format!("invalid attachment {text:?}"),
        )
        .hint("write CONTAINER/IFNAME")
    })?;
    Ok(AttachmentId {
        container_id: ContainerId::parse(container)?,
        ifname: IfName::parse(ifname)?,
    })
}

pub(super) fn status(
    out: &mut dyn Write,
    places: &Places,
    network: &str,
    suite: Suite<'_>,
) -> Result<()> {
    let (runtime, _bundled) = places.runtime(suite.names)?;
    let list = places.load(network)?;
    runtime.strict_status(&list)?;
    let name = &list.name;
    let answer = if list.knows_gc_and_status() {
        let kinds: Vec<_> = list.plugins.iter().map(PluginConf::kind).collect();
        format!("{name}: ready ({})", kinds.join(", "))
    } else {
        let version = &list.version;
        format!("{name}: cniVersion {version:?} has no STATUS, no plugin was asked")
    };
    print(out, &answer)?;
    if let Err(failure) = warnings::print_lost(&list, &runtime) {
        report(&failure.context("look for lost state of containers"));
    }
    // A look that fails is reported, and does not change the exit status.
    if let Err(failure) = warnings::print(&list, suite) {
        report(&failure.context("look for obstacles to packets"));
    }
    Ok(())
}

/// The exit status is 1 where there is a problem.
pub(super) fn validate(
    out: &mut dyn Write,
    places: &Places,
    args: &ValidateArgs,
    suite: Suite<'_>,
) -> Result<u8> {
    let (runtime, _bundled) = places.runtime(suite.names)?;
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
        schema: suite.schema,
        net_dir: &places.net_dir,
        capability_args: &capability_args,
    };
    let all_good = validate::run(out, &validator, &args.files)?;
    Ok(u8::from(!all_good))
}

/// The exit status is 1 where something does not work.
pub(super) fn doctor(
    out: &mut dyn Write,
    places: &Places,
    args: &DoctorArgs,
    suite: Suite<'_>,
) -> Result<u8> {
    let (runtime, bundled) = places.runtime(suite.names)?;
    // An engine does not find the plugins that are only in this binary.
    let engine = match bundled {
        Some(_) => vec![USUAL.into()],
        None => runtime.plugin_dirs.clone(),
    };
    let examined = doctor::Places {
        net_dir: &places.net_dir,
        cache_dir: &places.cache_dir,
        plugin_dirs: &engine,
        runtime: &runtime,
        suite,
        probes: args.probe,
    };
    let is_well = doctor::run(out, examined, args.subject.as_deref(), args.json)?;
    Ok(u8::from(!is_well))
}
