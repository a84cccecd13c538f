//! `linkspan check`: CHECK of one attachment, or of all that live.

use std::io::Write;

use clap::Args;
use linkspan_invoke::find;
use linkspan_owner::life::Life;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::attachment::Attachment;
use linkspan_runtime::cache::Entry;
use linkspan_runtime::chain::Runtime;
use linkspan_runtime::conflist::NetworkList;
use linkspan_runtime::holder::is_same;
use linkspan_runtime::{Result, gateways};
use serde_json::{Value, json};

use super::report;
use super::target::{Named, Places, Subject, Target};
use super::verbs::about;
use crate::attachments::{Attached, all};
use crate::complain::complain;
use crate::end::{End, Ended, NO, answer_of};
use crate::output::{self, with};
use crate::suite::Suite;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    subject: Subject,
    /// Every attachment that lives
    #[arg(long, conflicts_with = "first")]
    all: bool,
}

pub(super) fn run(
    out: &mut dyn Write,
    places: &Places,
    args: &CheckArgs,
    suite: Suite<'_>,
    as_json: bool,
) -> Ended {
    let (runtime, _bundled) = places.runtime(suite.names)?;
    if args.all && args.subject.is_absent() {
        return every(out, places, &runtime, as_json);
    }
    let (object, checked) = match args.subject.named(&runtime.cache)? {
        Named::Attached(one) => (one.json(), known(places, &runtime, &one)),
        Named::Target(target) => {
            let at = target.attachment()?;
            let list = places.network(&target.network)?;
            refuse_unattached(&runtime, &list, &target, &at)?;
            let entry = runtime.cache.entry(&list.network()?, &at);
            let checked = one(&runtime, &list, at.clone(), entry.as_ref());
            (about(&list.name, &at, &json!({})), checked)
        }
    };
    if as_json {
        output::rows(out, &[verdict(object, &checked)])?;
    }
    checked?;
    Ok(0)
}

/// CHECK with the remembered arguments of ADD, if any: without them the ports would not be checked.
fn one(
    runtime: &Runtime,
    list: &NetworkList,
    mut at: Attachment,
    entry: Option<&Entry>,
) -> Result<()> {
    if let Some(entry) = entry {
        at.args.clone_from(&entry.cni_args);
        at.capability_args.clone_from(&entry.capability_args);
    }
    runtime.check(list, &at)?;
    match entry.and_then(|entry| entry.result.as_ref()) {
        Some(result) if !list.disable_check => gateways::check(&at, result),
        _ => Ok(()),
    }
}

/// CHECK of a remembered attachment, with its network as it is now, or as it was at ADD.
fn known(places: &Places, runtime: &Runtime, attached: &Attached) -> Result<()> {
    let entry = &attached.entry;
    let list = places
        .load(&entry.network_name)
        .or_else(|_missing| entry.network())?;
    one(runtime, &list, entry.attachment()?, Some(entry))
}

/// Checks all that live, and prints a line for each that fails.
fn every(out: &mut dyn Write, places: &Places, runtime: &Runtime, as_json: bool) -> Ended {
    let (every, unreadable) = all(&runtime.cache)?;
    unreadable.iter().for_each(report);
    let (mut rows, mut status, mut count) = (Vec::new(), 0, 0_usize);
    for attached in every.iter().filter(|one| one.life != Life::Gone) {
        let checked = known(places, runtime, attached);
        if let Some(stop) = &runtime.stop {
            stop.check()?;
        }
        if let Err(failure) = &checked {
            count += 1;
            status = worse(status, answer_of(failure));
            if !as_json {
                let sentence = linkspan_runtime::sentence(failure);
                output::text(out, &format!("{}: {sentence}\n", attached.describe()))?;
            }
        }
        rows.push(verdict(attached.json(), &checked));
    }
    if as_json {
        output::rows(out, &rows)?;
    } else {
        complain(&format!("{} checked, {count} failed\n", rows.len()));
    }
    Ok(status)
}

/// A "no" counts more than a missing answer.
pub(super) fn worse(one: u8, other: u8) -> u8 {
    match (one, other) {
        (NO, _) | (_, NO) => NO,
        (one, other) => one.max(other),
    }
}

fn verdict(object: Value, checked: &Result<()>) -> Value {
    let failure = checked.as_ref().err().map(Failure::to_wire);
    let told =
        failure.map(|told| json!({ "code": told.code, "msg": told.msg, "details": told.details }));
    with(object, &json!({ "ok": checked.is_ok(), "error": told }))
}

/// Fails for an attachment that does not exist. The error names existing attachments of the place, if any.
fn refuse_unattached(
    runtime: &Runtime,
    list: &NetworkList,
    target: &Target,
    at: &Attachment,
) -> std::result::Result<(), End> {
    let network = list.network()?;
    if runtime.cache.has(&network, at) || list.disable_check {
        return Ok(());
    }
    for plugin in &list.plugins {
        find(plugin.kind(), &runtime.plugin_dirs).map_err(Failure::from)?;
    }
    let (every, _unreadable) = all(&runtime.cache)?;
    let there: Vec<String> = every
        .iter()
        .filter(|one| is_same(&one.entry.netns, &at.netns))
        .map(Attached::describe)
        .collect();
    let told = format!(
        "{} of {} is not attached to the network {network} as container {}",
        at.ifname, target.netns, at.container_id
    );
    let hint = match there.as_slice() {
        [] => "nothing is attached there; `linkspan list` prints the attachments".to_owned(),
        some => format!("attached there: {}", some.join("; ")),
    };
    let failure = Failure::new(ErrorCode::UNKNOWN_CONTAINER, told);
    Err(End::unknown(failure.hint(hint)))
}
