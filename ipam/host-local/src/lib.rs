//! The `host-local` IPAM plugin: gives addresses out of ranges, and remembers them in files on this host.
//!
//! It owns the files below `<dataDir>/<network>`. It never touches links, and needs no namespace.

mod conf;
mod range;
mod resolv_conf;
mod store;

use std::net::IpAddr;
use std::path::Path;

use linkspan_plugin::{AddCall, CheckCall, DelCall, Entry, Plugin, Result, StatusCall, Undo};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, Dns, IpConfig};

use conf::{Conf, Plan};
use range::{Range, RangeSet};
use store::{Owner, Store};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<HostLocal>();

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
        let store = Store::create(&plan.dir)?;
        let owner = Owner::of(&call.attachment);
        let mut requested = plan.requested;
        let mut ips = Vec::new();
        for (id, set) in plan.sets.iter().enumerate() {
            let wanted = requested.iter().position(|ip| set.contains(*ip));
            let wanted = wanted.map(|at| requested.remove(at));
            let (range, ip) = allocate(&store, id, set, wanted, &owner)
                .map_err(|failure| failure.context(format!("failed to allocate for range {id}")))?;
            let lease = store.lease(ip);
            undo.push("release an address", move || Ok(store::remove(&lease)?));
            store.remember_last(id, ip)?;
            ips.extend(config(range, ip));
        }
        if !requested.is_empty() {
            let left: Vec<_> = requested.iter().map(ToString::to_string).collect();
            let left = left.join(" ");
            return Err(Failure::new(
                ErrorCode::INTERNAL,
                format!("failed to allocate all requested IPs: {left}"),
            )
            .hint("request at most one address per range set, out of its ranges"));
        }
        Ok(AddResult {
            ips,
            routes: plan.routes,
            dns,
            ..AddResult::default()
        })
    }

    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        if let Some(store) = Store::existing(&plan.dir)? {
            store.release(&Owner::of(&call.attachment))?;
        }
        Ok(())
    }

    fn check(call: &CheckCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        let owner = Owner::of(&call.attachment);
        let held = match Store::existing(&plan.dir)? {
            Some(store) => store.held(&owner)?.all().next().is_some(),
            None => false,
        };
        if held {
            return Ok(());
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

    fn status(call: &StatusCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(call, conf)?;
        let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
        let taken = store::leases(&plan.dir).map_err(|err| unavailable(err.into()))?;
        for set in &plan.sets {
            let mut candidates = set.candidates(None);
            if candidates.all(|(_, ip)| taken.binary_search(&ip).is_ok()) {
                return Err(unavailable(exhausted(set, &plan.dir)));
            }
        }
        Ok(())
    }
}

/// One address out of `set`: the wanted one, or the next free one after the last that was given.
fn allocate<'a>(
    store: &Store,
    id: usize,
    set: &'a RangeSet,
    wanted: Option<IpAddr>,
    owner: &Owner,
) -> Result<(&'a Range, IpAddr)> {
    let refuse = |text: String| Failure::new(ErrorCode::INTERNAL, text);
    if let Some(ip) = wanted {
        let range = set
            .range_of(ip)
            .ok_or_else(|| refuse(format!("{ip} not in range set {set}")))?;
        if ip == range.gateway {
            return Err(refuse(format!("requested ip {ip} is subnet's gateway")));
        }
        if !store.reserve(ip, owner)? {
            return Err(refuse(format!(
                "requested IP address {ip} is not available in range set {set}"
            ))
            .hint(format!("{} tells who holds it", store.lease(ip).display())));
        }
        return Ok((range, ip));
    }
    if let Some(ip) = store.held(owner)?.all().find(|ip| set.contains(*ip)) {
        let holder = &owner.container_id;
        return Err(refuse(format!(
            "{ip} has been allocated to {holder}, duplicate allocation is not allowed"
        ))
        .hint("run DEL for the container before another ADD"));
    }
    for (range, ip) in set.candidates(store.last(id)) {
        if store.reserve(ip, owner)? {
            return Ok((range, ip));
        }
    }
    Err(exhausted(set, store.dir()))
}

fn exhausted(set: &RangeSet, dir: &Path) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("no IP addresses available in range set: {set}"),
    )
    .hint(format!(
        "widen the range, or run DEL for containers that are gone; the leases are in {}",
        dir.display()
    ))
}

fn config(range: &Range, ip: IpAddr) -> Option<IpConfig> {
    Some(IpConfig {
        interface: None,
        address: Cidr::new(ip, range.subnet.prefix_len())?,
        gateway: Some(range.gateway),
    })
}
