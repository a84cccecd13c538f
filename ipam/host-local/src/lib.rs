//! The `host-local` IPAM plugin: gives addresses out of ranges, and remembers them in files on this host.
//!
//! It owns the files in `<dataDir>/<network>` and `<dataDir>/.linkspan/<network>`. It never touches links; of a
//! namespace it only remembers which one it is.

mod choose;
mod conf;
mod range;
mod resolv_conf;
mod span;
mod store;

use std::net::IpAddr;

use linkspan_plugin::{
    AddCall, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo,
};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::AttachmentId;
use linkspan_protocol::result::{AddResult, Dns, IpConfig};

use choose::{Pick, choose, exhausted, held_by};
use conf::{Conf, Plan};
use store::Store;
use store::life::Home;
use store::status::Glance;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<HostLocal>();

/// How often a lease may appear from nowhere, made by somebody who does not ask for the lock.
const ATTEMPTS: usize = 5;

#[derive(Debug)]
struct HostLocal;

impl Plugin for HostLocal {
    type Conf = Conf;
    const NAMES: &'static [&'static str] = &["host-local"];

    fn add(call: &AddCall, conf: Conf, undo: &mut Undo) -> Result<AddResult> {
        let plan = Plan::new(call, conf)?;
        let dns = match &plan.resolv_conf {
            Some(path) => resolv_conf::read(path)?,
            None => Dns::default(),
        };
        // The lock is held until the last range set has its address.
        let mut store = Store::create(&plan.dir, plan.lock_timeout)?;
        let ips = allot(&mut store, &plan, call, undo);
        store.commit();
        Ok(AddResult {
            ips: ips?,
            routes: plan.routes,
            dns,
            ..AddResult::default()
        })
    }

    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        let Some(mut store) = Store::existing(&plan.dir, plan.lock_timeout)? else {
            return Ok(());
        };
        store.refresh()?;
        let released = store.release(&call.attachment);
        store.commit();
        Ok(released?)
    }

    fn check(call: &CheckCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        if let Some(store) = Store::existing(&plan.dir, plan.lock_timeout)? {
            let held: Vec<IpAddr> = store.held(&call.attachment)?.all().collect();
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
        let plan = Plan::new(call, conf)?;
        let Some(mut store) = Store::existing(&plan.dir, plan.lock_timeout)? else {
            return Ok(());
        };
        let collected = store.collect(&call.valid_attachments, plan.reclaim);
        store.commit();
        Ok(collected?)
    }

    fn status(call: &StatusCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
        let look = || -> Result<()> {
            let mut store = Glance::new(&plan.dir)?;
            for set in &plan.sets {
                let spans = set.spans(None);
                if store.has_room(&spans)? {
                    continue;
                }
                let census = store.census(&spans)?;
                if !plan.reclaim || census.dead == 0 {
                    return Err(exhausted(&plan, set, census));
                }
            }
            Ok(())
        };
        look().map_err(unavailable)
    }
}

/// Each address of the result that is out of our ranges has a lease of the attachment.
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

/// Gives an address of each range set, or none; the result's part that tells of them.
fn allot(store: &mut Store, plan: &Plan, call: &AddCall, undo: &mut Undo) -> Result<Vec<IpConfig>> {
    let home = Home::of(&call.netns);
    let picks = give(store, plan, &call.attachment, home.as_ref())?;
    let ips = picks.iter().map(|pick| pick.ip).collect();
    undo.push(
        "release addresses",
        take_back(plan, call.attachment.clone(), ips),
    );
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
    Ok(configs)
}

/// Gives an address of each range set, or none.
fn give<'a>(
    store: &mut Store,
    plan: &'a Plan,
    owner: &AttachmentId,
    home: Option<&Home>,
) -> Result<Vec<Pick<'a>>> {
    for _attempt in 0..ATTEMPTS {
        store.refresh()?;
        let mut held = store.held(owner)?;
        if plan.reclaim {
            held = store.release_past(owner, held)?;
        }
        let picks = choose(store, plan, owner, &held)?;
        let ips: Vec<_> = picks.iter().map(|pick| pick.ip).collect();
        if store.give(owner, &held, &ips, home)? {
            return Ok(picks);
        }
    }
    Err(Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!(
            "leases appear in {} without its lock being held",
            store.dir().display()
        ),
    )
    .hint("find out who else writes there"))
}

/// Undoes [`give`], when the lock is free again.
fn take_back(
    plan: &Plan,
    owner: AttachmentId,
    ips: Vec<IpAddr>,
) -> impl FnOnce() -> Result<()> + use<> {
    let (dir, patience) = (plan.dir.clone(), plan.lock_timeout);
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
