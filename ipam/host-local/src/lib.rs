//! The `host-local` IPAM plugin: gives addresses out of ranges, and keeps leases in files on this host.
//!
//! It owns the files in `<dataDir>/<network>` and `<dataDir>/.linkspan/<network>`. It never touches links, and records
//! only the identity of a namespace.

mod choose;
mod conf;
mod range;
mod range_conf;
mod resolv_conf;
mod span;
mod store;

use std::net::IpAddr;

use linkspan_owner::home::Home;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo,
};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, Dns, IpConfig};

use choose::{Attempt, Pick, choose, exhausted, held_by};
use conf::{Conf, Place, Plan};
use store::Store;
use store::judged::{Census, Judged};
use store::look::Look;
use store::status::Snapshot;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<HostLocal>();

/// The limit of attempts where a lease appears that another process made without the lock.
const ATTEMPTS: usize = 5;

#[derive(Debug)]
struct HostLocal;

impl Plugin for HostLocal {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["host-local"];
    const NEEDED: &'static [&'static str] = &["ipam.dataDir"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(call, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let dns = match &plan.resolv_conf {
            Some(path) => resolv_conf::read(path)?,
            None => Dns::default(),
        };
        Ok(AddResult {
            ips: addresses(&plan, call, undo)?,
            routes: plan.routes,
            dns,
            ..AddResult::default()
        })
    }

    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let place = Place::new(call, &conf)?;
        let Some(mut store) = Store::existing(&place.dir, place.lock_timeout)? else {
            return Ok(());
        };
        store.refresh()?;
        let released = store.release(&call.attachment);
        store.commit();
        Ok(released?)
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        if let Some(store) = Store::existing(&plan.dir, plan.lock_timeout)? {
            let held: Vec<IpAddr> = store.look(&call.attachment)?.all().collect();
            if !held.is_empty() {
                return check_each(call, &plan, &store, &held);
            }
        }
        let id = &call.attachment.container_id;
        Err(Failure::new(
            ErrorCode::INTERNAL,
            format!("host-local: Failed to find address added by container {id}"),
        )
        .hint(format!(
            "no lease in {} names it; run ADD again",
            plan.dir.display()
        )))
    }

    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        let place = Place::new(call, &conf)?;
        let Some(mut store) = Store::existing(&place.dir, place.lock_timeout)? else {
            return Ok(());
        };
        let collected = store.collect(&call.valid_attachments, place.reclaim);
        store.commit();
        Ok(collected?)
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
        ready(&plan, call.netconf.strict_status).map_err(unavailable)
    }
}

/// Checks that each address of the result in our ranges has a lease of the attachment.
fn check_each(call: &CheckCall, plan: &Plan, store: &Store, held: &[IpAddr]) -> Result<()> {
    let promised = call.netconf.prev_result()?.unwrap_or_default();
    let addresses = promised.ips.iter().map(|ip| ip.address.ip());
    let mut ours = addresses.filter(|ip| plan.sets.iter().any(|set| set.contains(*ip)));
    let Some(lost) = ours.find(|ip| !held.contains(ip)) else {
        return Ok(());
    };
    let found = store.lease(lost)?;
    let found = found.as_ref().map_or("no lease".to_owned(), held_by);
    let told =
        format!("host-local: address {lost}: expected a lease of the container, found {found}");
    Err(Failure::new(ErrorCode::INTERNAL, told).hint("attach the container anew"))
}

/// Checks that the store can be used and, where `strict`, that each range set has a free address. Without `strict` a
/// full range is not an error: an engine would take the node out of service, and its pods with it.
fn ready(plan: &Plan, strict: bool) -> Result<()> {
    let mut store = Snapshot::new(&plan.dir)?;
    for set in &plan.sets {
        let spans = set.spans(None);
        if spans.is_empty() {
            return Err(exhausted(plan, set, Census::default()));
        }
        if !strict || store.has_room(&spans)? {
            continue;
        }
        let census = Judged::new(&plan.dir)?.census(&spans);
        if !plan.reclaim || census.dead == 0 {
            return Err(exhausted(plan, set, census));
        }
    }
    Ok(())
}

/// Gives an address of each range set. Where one is dry, every lease is read to find addresses of the dead. That is
/// slow, so it runs without the lock, and in one process at a time.
fn addresses(plan: &Plan, call: &AddCall, undo: &mut Undo) -> Result<Vec<IpConfig>> {
    let home = Home::of(&call.netns);
    let attempt = Attempt {
        plan,
        owner: &call.attachment,
        home: home.as_ref(),
        judged: None,
    };
    if let Some(ips) = allot(attempt, undo)? {
        return Ok(ips);
    }
    let look = Look::wait(&plan.dir, plan.lock_timeout);
    let told = look.told();
    let attempt = Attempt {
        judged: told.as_ref(),
        ..attempt
    };
    // The process that looked before may have made room already.
    if let Some(ips) = allot(attempt, undo)? {
        return Ok(ips);
    }
    let pools: Vec<_> = plan.sets.iter().map(|set| set.spans(None)).collect();
    let judged = look.look(&pools)?;
    let attempt = Attempt {
        judged: Some(&judged),
        ..attempt
    };
    let ips = allot(attempt, undo)?;
    ips.ok_or_else(|| Failure::new(ErrorCode::INTERNAL, "a look at all leases had no outcome"))
}

/// Gives an address of each range set, or none, and returns them for the result. The lock is held until the last range
/// set has its address. `None` where one is dry and its leases were not read.
fn allot(attempt: Attempt<'_>, undo: &mut Undo) -> Result<Option<Vec<IpConfig>>> {
    let plan = attempt.plan;
    let mut store = Store::create(&plan.dir, plan.lock_timeout)?;
    let ips = allot_in(&mut store, attempt, undo);
    store.commit();
    ips
}

fn allot_in(
    store: &mut Store,
    attempt: Attempt<'_>,
    undo: &mut Undo,
) -> Result<Option<Vec<IpConfig>>> {
    let Some(picks) = give(store, attempt)? else {
        return Ok(None);
    };
    let ips = picks.iter().map(|pick| pick.ip).collect();
    undo.push("release addresses", take_back(attempt, ips));
    let mut configs = Vec::new();
    for Pick { range, ip, last } in picks {
        last.remember(ip)?;
        let address = Cidr::new(ip, range.subnet.prefix_len());
        configs.extend(address.map(|address| IpConfig {
            interface: None,
            address,
            gateway: Some(range.gateway),
        }));
    }
    Ok(Some(configs))
}

/// Gives an address of each range set, or none; `None` as for [`allot`].
fn give<'a>(store: &mut Store, attempt: Attempt<'a>) -> Result<Option<Vec<Pick<'a>>>> {
    let Attempt { plan, owner, .. } = attempt;
    for _attempt in 0..ATTEMPTS {
        store.refresh()?;
        let mut held = store.held(owner)?;
        if plan.reclaim {
            held = store.release_past(owner, held)?;
        }
        let Some(picks) = choose(store, attempt, &held)? else {
            return Ok(None);
        };
        let ips: Vec<_> = picks.iter().map(|pick| pick.ip).collect();
        if store.give(owner, &held, &ips, attempt.home)? {
            return Ok(Some(picks));
        }
    }
    Err(Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!(
            "leases appear in {} without its lock being held",
            store.dir().display()
        ),
    )
    .hint("find the other process that writes there"))
}

/// Undoes [`give`], when the lock is free again.
fn take_back(attempt: Attempt<'_>, ips: Vec<IpAddr>) -> impl FnOnce() -> Result<()> + use<> {
    let (dir, patience) = (attempt.plan.dir.clone(), attempt.plan.lock_timeout);
    let owner = attempt.owner.clone();
    move || {
        if let Some(mut store) = Store::existing(&dir, patience)? {
            store.refresh()?;
            let taken = store.take_back(&owner, &ips);
            store.commit();
            taken?;
        }
        Ok(())
    }
}
