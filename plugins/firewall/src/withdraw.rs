//! DEL and GC: what attachments have goes, unless others have it, too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_attach::Side;
use linkspan_filter::kernel;
use linkspan_filter::table::{self, Elements, Guard, TABLE};
use linkspan_netlink::link::Link;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::chains::{self, ACCEPTS, HOOK, STAGE_1, STAGE_2};
use crate::held::{self, Going, Held};
use crate::place::{self, Extent};
use crate::sets::PART;

/// How often somebody may delete a rule between our look and our commit.
const ATTEMPTS: usize = 100;

/// Whose it is that goes.
pub(crate) struct Condemned<'a> {
    pub(crate) is: &'a dyn Fn(&Owner) -> bool,
    /// Addresses that a result tells: nothing else does where the Go plugin attached.
    pub(crate) told: BTreeSet<IpAddr>,
    /// The index of a host's end that goes, where it has no tag.
    pub(crate) port: Option<u32>,
}

/// Withdraws it; the addresses that nobody has any more.
pub(crate) fn withdraw(condemned: &Condemned<'_>) -> Result<BTreeSet<IpAddr>> {
    let Some((netfilter, _)) = table::open_whole(&PART)? else {
        let going = Held::default().going(condemned.is, &condemned.told);
        withdraw_older(&going)?;
        return Ok(going.addresses);
    };
    let going = look(&netfilter, condemned)?;
    // The elements go last, for a DEL that was killed is asked again.
    withdraw_older(&going)?;
    withdraw_rules(&netfilter, condemned)?;
    table::remove_chosen(&netfilter, || {
        let going = look(&netfilter, condemned)?;
        elements(&netfilter, &going)
    })?;
    Ok(going.addresses)
}

/// What goes, as it is now.
fn look(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<Going> {
    let held = Held::read(netfilter).map_err(kernel)?;
    let mut going = held.going(condemned.is, &condemned.told);
    if !going.bridges.is_empty() {
        let inhabited = inhabited(&going.bridges, condemned)?;
        going.bridges.retain(|bridge| !inhabited.contains(bridge));
    }
    Ok(going)
}

/// The bridges that have a port of somebody else: a container of the Go suite has no element of ours.
fn inhabited(bridges: &BTreeSet<String>, condemned: &Condemned<'_>) -> Result<BTreeSet<String>> {
    let links = Side::host()?.rtnl.links().map_err(kernel)?;
    let is_others = |port: &Link| {
        let owner = Owner::parse(&port.alias);
        let goes = owner.is_some_and(|owner| (condemned.is)(&owner));
        port.kind == "veth" && !goes && condemned.port != Some(port.index)
    };
    let mut inhabited = BTreeSet::new();
    for port in links.iter().filter(|port| is_others(port)) {
        let bridge = links
            .iter()
            .find(|link| Some(link.index) == port.controller);
        inhabited.extend(bridge.map(|bridge| bridge.name.clone()));
    }
    inhabited.retain(|bridge| bridges.contains(bridge));
    Ok(inhabited)
}

/// What goes of our own table.
fn elements(netfilter: &Netfilter, going: &Going) -> Result<Elements<'static>> {
    let mut elements = going.elements.clone();
    elements.extend(held::policies_of(netfilter, &going.bridges).map_err(kernel)?);
    Ok(elements)
}

/// Deletes the rules in nf_tables, and what of our table is about them, in one transaction.
fn withdraw_rules(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<()> {
    let mut attempts = 1..ATTEMPTS;
    loop {
        match table::attempt(netfilter, || plan(netfilter, condemned))? {
            Err(err)
                if (err.is(Errno::ENOENT) || err.is(Errno::EEXIST))
                    && attempts.next().is_some() => {}
            done => return done.map_err(kernel),
        }
    }
}

/// Nothing where there are no rules: elements alone expire, which costs less.
fn plan(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<(Batch, Guard)> {
    let going = look(netfilter, condemned)?;
    let mut batch = Batch::default();
    for family in Family::BOTH {
        let found = place::native(netfilter, family, &names(&going, family), Extent::All)?;
        let steps = chains::withdraw(&found, &going.addresses, &going.bridges);
        place::plan(&mut batch, family, &steps);
    }
    if !batch.is_empty() {
        for (set, elements) in elements(netfilter, &going)? {
            batch.take(TABLE, set, &elements);
        }
    }
    // An ADD that has come to share an address deletes the rules that we have found, and one that has joined a bridge changes
    // nothing that we would notice.
    let guard = if going.is_shared || !going.bridges.is_empty() {
        Guard::Generation
    } else {
        Guard::Values
    };
    Ok((batch, guard))
}

fn withdraw_older(going: &Going) -> Result<()> {
    for family in Family::BOTH {
        let names = names(going, family);
        if names.is_empty() {
            continue;
        }
        if let Some(older) = place::older(family)? {
            let found = place::chains(&older, &names);
            let steps = chains::withdraw(&found, &going.addresses, &going.bridges);
            place::apply_older(family, &steps)?;
        }
    }
    Ok(())
}

/// The chains that may have something of it.
fn names(going: &Going, family: Family) -> Vec<&'static str> {
    let mut names = Vec::new();
    if going.addresses.iter().any(|ip| Family::of(*ip) == family) {
        names.push(ACCEPTS);
    }
    if !going.bridges.is_empty() {
        names.extend([HOOK, STAGE_1, STAGE_2]);
    }
    names
}
