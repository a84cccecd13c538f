//! DEL and GC: what attachments have goes, unless others have it, too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_attach::Side;
use linkspan_filter::kernel;
use linkspan_filter::table::{self, Guard, TABLE};
use linkspan_netlink::link::Link;
use linkspan_nftables::ruleset::Element;
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::error::ErrorCode;
use linkspan_protocol::family::Family;

use crate::chains::{self, ACCEPTS, HOOK, STAGE_1, STAGE_2};
use crate::held::{self, Going, Held};
use crate::part::PART;
use crate::place::{self, Extent, RACES};
use crate::sets::GUARDED;

/// Whose it is that goes.
pub(crate) struct Condemned<'a> {
    pub(crate) is: &'a dyn Fn(&Owner) -> bool,
    /// The one attachment that goes, where it is one.
    pub(crate) own: Option<&'a Owner>,
    /// Addresses that a result tells: nothing else does where the Go plugin attached.
    pub(crate) told: BTreeSet<IpAddr>,
    /// Asks for the index of a host's end that goes, where it has no tag.
    pub(crate) port: &'a dyn Fn() -> Option<u32>,
}

/// Withdraws it; the addresses that nobody has any more.
pub(crate) fn withdraw(condemned: &Condemned<'_>) -> Result<BTreeSet<IpAddr>> {
    let Some((netfilter, _)) = table::open_whole(&PART)? else {
        let going = Held::default().going(condemned.is, &condemned.told);
        withdraw_older(&going, || Ok(BTreeSet::new()))?;
        return Ok(going.addresses);
    };
    let going = going(&netfilter, condemned)?;
    // The elements go last, for a DEL that was killed is asked again.
    withdraw_older(&going, || empty(&netfilter, condemned))?;
    if !withdraw_rules(&netfilter, condemned)? {
        table::expire(&netfilter, TABLE, || {
            Ok(self::going(&netfilter, condemned)?.elements)
        })?;
    }
    withdraw_policies(&netfilter, condemned)?;
    Ok(going.addresses)
}

/// The state that goes. All elements are listed only if the keys of a result are not enough.
fn going(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<Going> {
    let told = |own| Held::of(netfilter, own, &condemned.told);
    let held = condemned.own.map(told).transpose().map_err(kernel)?;
    let held = match held.flatten() {
        Some(held) => held,
        None => Held::read(netfilter).map_err(kernel)?,
    };
    Ok(held.going(condemned.is, &condemned.told))
}

/// The bridges with a policy on which nobody is but the condemned.
fn empty(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<BTreeSet<String>> {
    let guarded = netfilter.elements(TABLE, GUARDED).map_err(kernel)?;
    let name = |element: &Element| element.key.read().ifname();
    let mut bridges: BTreeSet<String> = guarded.iter().filter_map(name).collect();
    if bridges.is_empty() {
        return Ok(bridges);
    }
    let held = Held::read(netfilter).map_err(kernel)?;
    bridges.retain(|bridge| !held.has_member(bridge, condemned.is));
    if !bridges.is_empty() {
        let inhabited = inhabited(&bridges, condemned)?;
        bridges.retain(|bridge| !inhabited.contains(bridge));
    }
    Ok(bridges)
}

/// The bridges that have a port of somebody else: a container of the Go suite has no element of ours.
fn inhabited(bridges: &BTreeSet<String>, condemned: &Condemned<'_>) -> Result<BTreeSet<String>> {
    let links = Side::host()?.rtnl.links().map_err(kernel)?;
    let own = (condemned.port)();
    let is_others = |port: &Link| {
        let owner = Owner::parse(&port.alias);
        let goes = owner.is_some_and(|owner| (condemned.is)(&owner));
        port.kind == "veth" && !goes && own != Some(port.index)
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

/// Deletes the rules of addresses in nf_tables, and the elements of those who had them, in one transaction. False where there
/// are no rules.
fn withdraw_rules(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<bool> {
    let mut has_rules = false;
    let plan = || {
        let (batch, guard) = plan(netfilter, condemned)?;
        has_rules = !batch.is_empty();
        Ok((batch, guard))
    };
    table::insist(netfilter, &RACES, plan)?.map_err(kernel)?;
    Ok(has_rules)
}

/// Nothing where there are no rules: elements alone expire, which costs less.
fn plan(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<(Batch, Guard)> {
    let mut batch = Batch::default();
    let families = place::natives(netfilter, &Family::BOTH)?;
    if families.is_empty() {
        return Ok((batch, Guard::Values));
    }
    let going = going(netfilter, condemned)?;
    let none = BTreeSet::new();
    for family in families {
        let found = place::native(netfilter, family, &accepts(&going, family), Extent::All)?;
        let steps = chains::withdraw(&found, &going.addresses, &none);
        place::plan(&mut batch, family, &steps);
    }
    if !batch.is_empty() {
        for (set, elements) in &going.elements {
            batch.take(TABLE, set, elements);
        }
    }
    // An ADD that has come to share an address deletes the rules that we have found. Two that share one must not both leave
    // the rules to the other.
    let guard = if going.is_shared {
        Guard::Generation
    } else {
        Guard::Values
    };
    Ok((batch, guard))
}

/// Removes the policies of bridges that are empty. Where other writers of nf_tables are faster they stay, in nobody's way,
/// until the next DEL or GC.
fn withdraw_policies(netfilter: &Netfilter, condemned: &Condemned<'_>) -> Result<()> {
    if empty(netfilter, condemned)?.is_empty() {
        return Ok(());
    }
    let policies = |bridges: &BTreeSet<String>| held::policies_of(netfilter, bridges);
    let mut has_rules = false;
    let rules = table::attempt(netfilter, || {
        let bridges = empty(netfilter, condemned)?;
        let mut batch = Batch::default();
        for family in Family::BOTH {
            let found = place::native(netfilter, family, &of_policies(&bridges), Extent::All)?;
            let steps = chains::withdraw(&found, &BTreeSet::new(), &bridges);
            place::plan(&mut batch, family, &steps);
        }
        has_rules = !batch.is_empty();
        if has_rules {
            for (set, elements) in policies(&bridges).map_err(kernel)? {
                batch.take(TABLE, set, &elements);
            }
        }
        Ok((batch, Guard::Courtesy))
    });
    match rules {
        Err(failure) if failure.code() == ErrorCode::TRY_AGAIN_LATER => return Ok(()),
        rules => rules?.map_err(kernel)?,
    }
    if has_rules {
        return Ok(());
    }
    table::tidy(netfilter, TABLE, || {
        policies(&empty(netfilter, condemned)?).map_err(kernel)
    })
}

/// Deletes the rules in the older packet filter, and those of bridges that are empty.
fn withdraw_older(going: &Going, empty: impl Fn() -> Result<BTreeSet<String>>) -> Result<()> {
    for family in Family::BOTH {
        if let Some(older) = place::older(family)? {
            let bridges = empty()?;
            let names = [accepts(going, family), of_policies(&bridges)].concat();
            let found = place::chains(&older, &names);
            let steps = chains::withdraw(&found, &going.addresses, &bridges);
            place::apply_older(family, &steps)?;
        }
    }
    Ok(())
}

/// The chain that may have rules of addresses that go.
fn accepts(going: &Going, family: Family) -> Vec<&'static str> {
    let mut addresses = going.addresses.iter();
    let any = addresses.any(|ip| Family::of(*ip) == family);
    if any { vec![ACCEPTS] } else { Vec::new() }
}

/// The chains that may have rules of policies that go.
fn of_policies(bridges: &BTreeSet<String>) -> Vec<&'static str> {
    if bridges.is_empty() {
        return Vec::new();
    }
    vec![HOOK, STAGE_1, STAGE_2]
}
