//! Commands about a network as a whole.

use std::io::Write;

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use linkspan_runtime::Result;
use linkspan_runtime::attachment::parse_capability_args;
use serde_json::json;

use super::args::{DoctorArgs, GcArgs, ValidateArgs};
use super::target::Places;
use super::{print, report};
use crate::end::Ended;
use crate::output;
use crate::plugins::{Bundled, USUAL};
use crate::suite::Suite;
use crate::validate::Validator;
use crate::{doctor, validate};

/// The exit status is 1 where something could not be collected.
pub(super) fn gc(
    out: &mut dyn Write,
    places: &Places,
    args: &GcArgs,
    plugins: &[&str],
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let list = places.network(&args.network)?;
    if list.disable_gc {
        print(
            out,
            &format!("{}: disableGC is set, nothing was done", list.name),
        )?;
        return Ok(0);
    }
    let mut valid = runtime.alive(&list)?;
    for kept in &args.keep {
        valid.push(parse_kept(kept)?);
    }
    let collected = runtime.gc(&list, Some(&valid));
    if as_json {
        let rows = collected.deleted.iter().map(|id| {
            json!({ "network": list.name, "container": id.container_id.as_str(),
                "interface": id.ifname.as_str(), "detached": true })
        });
        output::rows(out, &rows.collect::<Vec<_>>())?;
    }
    for id in collected.deleted.iter().filter(|_| !as_json) {
        print(out, &format!("deleted {} {}", id.container_id, id.ifname))?;
    }
    collected.failures.iter().for_each(report);
    Ok(u8::from(!collected.failures.is_empty()))
}

/// The exit status is 1 where something could not be restored.
pub(super) fn restore(
    out: &mut dyn Write,
    places: &Places,
    network: Option<&str>,
    plugins: &[&str],
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let network = match network {
        Some(name) if name.contains('/') => Some(places.network(name)?.network()?),
        Some(name) => Some(NetworkName::parse(name)?),
        None => None,
    };
    let restored = runtime.restore(network.as_ref())?;
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

fn parse_kept(text: &str) -> Result<AttachmentId> {
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

/// The exit status is 1 where there is a problem.
pub(super) fn validate(
    out: &mut dyn Write,
    places: &Places,
    args: &ValidateArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
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
    let all_good = validate::run(out, &validator, &args.files, as_json)?;
    Ok(u8::from(!all_good))
}

/// The exit status is 1 where something does not work.
pub(super) fn doctor(
    out: &mut dyn Write,
    places: &Places,
    args: &DoctorArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
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
    doctor::run(out, examined, args.subject.as_deref(), as_json)
}
