//! The elements of a claim that exist already, looked up by their keys.

use std::net::IpAddr;

use linkspan_filter::kernel;
use linkspan_filter::table::{Elements, TABLE};
use linkspan_nftables::Netfilter;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;

use crate::claim::Claim;
use crate::held;
use crate::port;
use crate::sets::{HOLDERS, SEVERAL};

/// An element of a set.
pub(crate) type Of = (&'static Set, Element);

/// The changes that ADD has to make.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Elements that are not there.
    pub(crate) missing: Vec<Of>,
    /// Elements that are in the way of these.
    pub(crate) outdated: Vec<Of>,
    /// Addresses that another attachment has, too, where this one is new.
    pub(crate) shared: Vec<IpAddr>,
    /// Whether nobody has had any of the addresses.
    pub(crate) is_fresh: bool,
}

impl Standing {
    pub(crate) fn of(netfilter: &Netfilter, claim: &Claim) -> Result<Self> {
        let own = singly(held::elements(claim));
        let policy = match &claim.member {
            Some(member) => singly(held::policy(member, port::is_needed(member)?)),
            None => Vec::new(),
        };
        let holder = |ip: &IpAddr| (HOLDERS.of(*ip), held::sole(*ip, &claim.owner));
        let holders: Vec<Of> = claim.addresses.iter().map(holder).collect();
        let (owned, policies) = (own.len(), policy.len());
        let wanted = [own, policy, holders].concat();
        let found = look(netfilter, &wanted)?;
        let mut all = wanted.into_iter().zip(found);
        let mut standing = Self {
            is_fresh: true,
            ..Self::default()
        };
        for (wanted, found) in all.by_ref().take(owned) {
            standing.demand(wanted, found);
        }
        let is_new = !standing.missing.is_empty();
        for (wanted, found) in all.by_ref().take(policies) {
            standing.demand(wanted, found);
        }
        for (ip, (wanted, found)) in claim.addresses.iter().zip(all) {
            let present = found.as_ref().filter(|found| found.timeout == 0);
            standing.is_fresh &= present.is_none();
            let is_sole = present.is_none_or(|present| present.value == wanted.1.value);
            if is_sole || !has_others(netfilter, claim, *ip)? {
                standing.demand(wanted, found);
                continue;
            }
            standing.shared.extend(Some(*ip).filter(|_| is_new));
            standing.demand((wanted.0, held::holder(*ip, SEVERAL)), found);
        }
        Ok(standing)
    }

    /// One that expires, or that has another value, is in the way.
    fn demand(&mut self, wanted: Of, found: Option<Element>) {
        let is_it = |found: &Element| found.timeout == 0 && found.value == wanted.1.value;
        if found.as_ref().is_some_and(is_it) {
            return;
        }
        self.outdated.extend(found.map(|found| (wanted.0, found)));
        self.missing.push(wanted);
    }
}

/// Whether another attachment has the address.
fn has_others(netfilter: &Netfilter, claim: &Claim, ip: IpAddr) -> Result<bool> {
    let all = held::addresses(netfilter, Family::of(ip)).map_err(kernel)?;
    Ok(all
        .iter()
        .any(|(owner, address, _)| *address == ip && *owner != claim.owner))
}

/// The first of the elements that is not there.
pub(crate) fn first_missing(
    netfilter: &Netfilter,
    wanted: Elements<'static>,
) -> Result<Option<Of>> {
    let wanted = singly(wanted);
    let found = look(netfilter, &wanted)?;
    let is_it =
        |wanted: &Element, found: &Element| found.timeout == 0 && found.comment == wanted.comment;
    let missing = wanted.into_iter().zip(found).find(|((_, wanted), found)| {
        let found = found.as_ref();
        !found.is_some_and(|found| is_it(wanted, found))
    });
    Ok(missing.map(|(wanted, _)| wanted))
}

/// Whether any of the elements is there.
pub(crate) fn any(netfilter: &Netfilter, wanted: Elements<'static>) -> Result<bool> {
    let found = look(netfilter, &singly(wanted))?;
    Ok(found.iter().flatten().any(|found| found.timeout == 0))
}

fn look(netfilter: &Netfilter, wanted: &[Of]) -> Result<Vec<Option<Element>>> {
    let questions: Vec<_> = wanted
        .iter()
        .map(|(set, element)| Question::Element(TABLE, set, element))
        .collect();
    let answers = netfilter.look(&questions).map_err(kernel)?;
    Ok(answers
        .iter()
        .map(|answer| answer.element().cloned())
        .collect())
}

fn singly(elements: Elements<'static>) -> Vec<Of> {
    let each = elements.into_iter();
    each.flat_map(|(set, all)| all.into_iter().map(move |one| (set, one)))
        .collect()
}
