//! The choice of an address of each range set, and the reasons for none.

use std::net::IpAddr;

use linkspan_owner::home::Home;
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::AttachmentId;

use crate::conf::Plan;
use crate::range::{Range, RangeSet};
use crate::store::judged::{Census, Judged};
use crate::store::last::Last;
use crate::store::lease::{Holder, Lease};
use crate::store::{Held, Store};

/// An address to be given.
#[derive(Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) range: &'a Range,
    pub(crate) ip: IpAddr,
    pub(crate) last: Last,
}

fn refuse(text: String) -> Failure {
    Failure::new(ErrorCode::INTERNAL, text)
}

/// A request for addresses, with everything known before the leases are touched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) owner: &'a AttachmentId,
    /// The owner's namespace.
    pub(crate) home: Option<&'a Home>,
    /// The state of all leases, where they were all read.
    pub(crate) judged: Option<&'a Judged>,
}

/// Chooses one address of each range set, and gives none yet. `None` where a set is dry and its leases were not read.
pub(crate) fn choose<'a>(
    store: &mut Store,
    attempt: Attempt<'a>,
    held: &Held,
) -> Result<Option<Vec<Pick<'a>>>> {
    let plan = attempt.plan;
    let mut requested = plan.requested.clone();
    let mut picks = Vec::new();
    for (id, set) in plan.sets.iter().enumerate() {
        let wanted = requested.iter().position(|ip| set.contains(*ip));
        let wanted = wanted.map(|at| requested.remove(at));
        let last = store.last(id);
        let chosen = match wanted {
            Some(ip) => wish(store, plan, set, ip).map(Some),
            None => next(store, attempt, held, set, &last),
        };
        let chosen = chosen
            .map_err(|failure| failure.context(format!("failed to allocate for range {id}")))?;
        let Some((range, ip)) = chosen else {
            return Ok(None);
        };
        picks.push(Pick { range, ip, last });
    }
    if requested.is_empty() {
        return Ok(Some(picks));
    }
    Err(left_over(plan, &requested))
}

/// The requested address.
fn wish<'a>(
    store: &mut Store,
    plan: &Plan,
    set: &'a RangeSet,
    ip: IpAddr,
) -> Result<(&'a Range, IpAddr)> {
    let range = set
        .range_of(ip)
        .ok_or_else(|| refuse(format!("{ip} not in range set {set}")))?;
    if let Some(reason) = range.refusal(ip) {
        return Err(refuse(reason).hint("ask for another address"));
    }
    if plan.reclaim {
        store.reclaim_one(ip)?;
    }
    let Some(lease) = store.lease(ip)? else {
        return Ok((range, ip));
    };
    Err(refuse(format!(
        "requested IP address {ip} is not available in range set {set}: {}",
        held_by(&lease)
    ))
    .hint("run DEL for its holder, or ask for another address"))
}

/// The next free address after the last one; `None` as for [`choose`].
fn next<'a>(
    store: &mut Store,
    attempt: Attempt<'a>,
    held: &Held,
    set: &'a RangeSet,
    last: &Last,
) -> Result<Option<(&'a Range, IpAddr)>> {
    if let Some(ip) = held.all().find(|ip| set.contains(*ip)) {
        let id = &attempt.owner.container_id;
        return Err(refuse(format!(
            "{ip} has been allocated to {id}, duplicate allocation is not allowed"
        ))
        .hint("run DEL for the container before another ADD"));
    }
    let spans = set.spans(last.ip);
    let mut found = store.first_free(&spans)?;
    if found.is_none() {
        let pool = set.spans(None);
        let Some(judged) = attempt.judged.filter(|judged| judged.knows(&pool)) else {
            return Ok(None);
        };
        if attempt.plan.reclaim {
            store.reclaim(judged, &spans)?;
            found = store.first_free(&spans)?;
        }
        if found.is_none() {
            store.mend(judged, &spans)?;
            found = store.first_free(&spans)?;
        }
        if found.is_none() {
            return Err(exhausted(attempt.plan, set, judged.census(&pool)));
        }
    }
    Ok(found.and_then(|ip| Some((set.range_of(ip)?, ip))))
}

/// The failure that `set` has no free address, with a count of their holders.
pub(crate) fn exhausted(plan: &Plan, set: &RangeSet, census: Census) -> Failure {
    let Census {
        live,
        unknown,
        dead,
    } = census;
    let size = set.size();
    let network = plan.dir.file_name().unwrap_or_default().to_string_lossy();
    let free = format!("free what is gone with `linkspan gc {network}`");
    let hint = if dead > 0 && !plan.reclaim {
        format!("turn ipam.reclaim on, or {free}")
    } else if dead > 0 || unknown > 0 {
        format!("{free}, or widen the range")
    } else {
        "every address is in use: widen the range".to_owned()
    };
    refuse(format!("no IP addresses available in range set: {set}"))
        .detail(format!(
            "of {size} addresses {live} belong to live attachments, {dead} to dead ones, and {unknown} cannot be judged"
        ))
        .hint(format!("{hint}; the leases are in {}", plan.dir.display()))
}

/// The failure that requested addresses fit no range set, with the reason for each.
fn left_over(plan: &Plan, requested: &[IpAddr]) -> Failure {
    let texts: Vec<_> = requested.iter().map(ToString::to_string).collect();
    let text = format!("failed to allocate all requested IPs: {}", texts.join(" "));
    requested
        .iter()
        .fold(refuse(text), |failure, ip| {
            let why = if plan.sets.iter().any(|set| set.contains(*ip)) {
                "is in a range set that gives another requested address"
            } else if plan.sets.iter().any(|set| set.is_gateway(*ip)) {
                "is a gateway"
            } else {
                "is out of range: no range set contains it"
            };
            failure.detail(format!("{ip} {why}"))
        })
        .hint("request at most one address per range set, from its ranges")
}

pub(crate) fn held_by(lease: &Lease) -> String {
    let since = utc(lease.stamp.written.0);
    match &lease.holder {
        Holder::Attachment(id) => {
            format!("held by {}/{} since {since}", id.container_id, id.ifname)
        }
        Holder::Container(id) => format!("held by {id} since {since}"),
        Holder::Nobody => format!("blocked since {since} by a file that no plugin writes"),
        Holder::Obstacle => {
            format!("blocked since {since} by an entry of that name that is not a file")
        }
    }
}

/// Seconds since 1970 in the form of ISO 8601. The date counts from 1 March of year 0, so that leap days come last.
fn utc(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let second = seconds.rem_euclid(86_400);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
