//! `linkspan gc`: detaches attachments whose namespace is gone, in one network, in several or in all.

use std::io::Write;

use clap::Args;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName};
use linkspan_runtime::Result;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use serde_json::{Value, json};

use super::target::Places;
use super::{print, report, status};
use crate::complain::complain;
use crate::end::{End, Ended, NO};
use crate::output::{self, Progress};

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// The networks' names, or the paths of files with their configurations
    #[arg(value_name = "NETWORK", required_unless_present = "all")]
    networks: Vec<String>,
    /// Every network of --net-dir, and every network with remembered attachments
    #[arg(long, conflicts_with = "networks")]
    all: bool,
    /// Print what would be detached, and detach nothing
    #[arg(long)]
    dry_run: bool,
    /// An attachment that stays although this cache does not know it, or its namespace seems gone
    #[arg(long, value_name = "CONTAINER/IFNAME")]
    keep: Vec<String>,
    /// An attachment whose container is gone according to its engine: it is detached, and nothing else is collected,
    /// which is safe while containers start; may be repeated
    #[arg(long, value_name = "CONTAINER/IFNAME", conflicts_with_all = ["keep", "dry_run", "all"])]
    gone: Vec<String>,
}

/// The caller's knowledge of attachments.
struct Told<'a> {
    kept: &'a [AttachmentId],
    gone: &'a [AttachmentId],
    is_dry: bool,
}

/// The outcome of all networks.
#[derive(Debug, Default)]
struct Count {
    rows: Vec<Value>,
    failed: usize,
    valid: usize,
}

/// The exit status is 1 if something could not be collected. The last line, on stderr, has the counts.
pub(super) fn run(
    out: &mut dyn Write,
    places: &Places,
    args: &GcArgs,
    plugins: &[&str],
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(plugins)?;
    let told = Told {
        kept: &attachments(&args.keep)?,
        gone: &attachments(&args.gone)?,
        is_dry: args.dry_run,
    };
    let lists = if args.all {
        every(places, &runtime)?
    } else {
        let named = args.networks.iter().map(|name| places.network(name));
        named.collect::<std::result::Result<Vec<NetworkList>, End>>()?
    };
    let mut count = Count::default();
    for list in &lists {
        let out = (!as_json).then_some(&mut *out as &mut dyn Write);
        one(out, &runtime, list, &told, &mut count)?;
        if let Some(stop) = &runtime.stop {
            stop.check()?;
        }
    }
    if as_json {
        output::rows(out, &count.rows)?;
    } else {
        let (verb, number) = (verb(args.dry_run), count.rows.len());
        let Count { failed, valid, .. } = count;
        complain(&format!(
            "{verb} {number}, failed {failed}, attached {valid}\n"
        ));
    }
    Ok(if count.failed == 0 { 0 } else { NO })
}

fn verb(is_dry: bool) -> &'static str {
    if is_dry { "would delete" } else { "deleted" }
}

fn one(
    mut out: Option<&mut dyn Write>,
    runtime: &Runtime,
    list: &NetworkList,
    told: &Told<'_>,
    count: &mut Count,
) -> Result<()> {
    let name = &list.name;
    if list.disable_gc {
        let why = format!("{name}: disableGC is set, nothing was done");
        return out.map_or(Ok(()), |out| print(out, &why));
    }
    let mut valid = runtime.alive(list)?;
    count.valid += valid.len();
    valid.extend_from_slice(told.kept);
    let (ids, failures) = if !told.gone.is_empty() {
        let detached = runtime.detach(list, told.gone);
        (detached.deleted, detached.failures)
    } else if told.is_dry {
        (runtime.stale(list, &valid)?, Vec::new())
    } else {
        let mut progress = Progress::new(format!("{name}: detached"));
        let tell = &mut |done, all| progress.tell(done, all);
        let collected = runtime.gc_telling(list, Some(&valid), tell);
        progress.end();
        (collected.deleted, collected.failures)
    };
    for id in &ids {
        let (container, ifname) = (id.container_id.as_str(), id.ifname.as_str());
        if let Some(out) = &mut out {
            print(out, &format!("{} {container} {ifname}", verb(told.is_dry)))?;
        }
        count.rows.push(json!({
            "network": name, "container": container, "interface": ifname, "detached": !told.is_dry,
        }));
    }
    failures.iter().for_each(report);
    count.failed += failures.len();
    Ok(())
}

/// The networks of the directory, and those with nothing but attachments left.
fn every(places: &Places, runtime: &Runtime) -> Result<Vec<NetworkList>> {
    let mut lists = status::every(places)?;
    for entry in runtime.cache.all()?.entries {
        if lists.iter().any(|list| list.name == entry.network_name) {
            continue;
        }
        match entry.network() {
            Ok(list) => lists.push(list),
            Err(failure) => report(&failure),
        }
    }
    Ok(lists)
}

/// Parses a list of CONTAINER/IFNAME.
pub(super) fn attachments(texts: &[String]) -> Result<Vec<AttachmentId>> {
    texts.iter().map(|text| attachment(text)).collect()
}

fn attachment(text: &str) -> Result<AttachmentId> {
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
