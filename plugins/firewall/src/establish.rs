//! ADD: what an attachment needs is put where it is effective, and nothing is changed that is there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_filter::kernel;
use linkspan_filter::table::{self, Guard, Support, TABLE};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;

use crate::chains::{self, ACCEPTS, Found, HOOK, Need, STAGE_1, STAGE_2, Step};
use crate::claim::Claim;
use crate::part::PART;
use crate::place::{self, Extent, RACES};
use crate::standing::Standing;
use crate::withdraw::{Condemned, withdraw};

/// The work besides the elements of our own table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    /// Whether iptables is used where its table is there.
    pub(crate) iptables: bool,
    /// Whether it is used where its table is not there, too.
    pub(crate) makes_table: bool,
    /// Whether it decides who is let through.
    pub(crate) accepts: bool,
    pub(crate) admin: &'a str,
}

/// Establishes the claim. In nf_tables that is one transaction.
pub(crate) fn establish(claim: &Claim, how: How<'_>, undo: &mut Undo) -> Result<()> {
    let netfilter = match table::ready(&PART)? {
        Support::Whole(netfilter) => Some(netfilter),
        _ if !how.makes_table && !has_older(claim, how)? => return Err(unable(claim)),
        Support::Lacking(_) => table::open()?,
        Support::Absent => None,
    };
    let mut rest = claim.families();
    if let Some(netfilter) = &netfilter {
        let families: &[Family] = if how.iptables { &rest } else { &[] };
        let natives = place::natives(netfilter, families)?;
        let committed = commit(netfilter, claim, how, &natives);
        undone(undo, claim, committed)?;
        let is_missing = |family: &Family| !natives.contains(family);
        rest.retain(is_missing);
    }
    if !how.iptables {
        return Ok(());
    }
    for family in claim.families() {
        let own = need(claim, how, family, Vec::new());
        if let Some(older) = place::older(family)? {
            let found = place::chains(&older, &names(claim, how));
            let applied = place::apply_older(family, &chains::establish(&found, &own));
            undone(undo, claim, applied)?;
        } else if how.makes_table && rest.contains(&family) {
            let found = Found::from([(HOOK.to_owned(), Vec::new())]);
            let applied = place::apply_first(family, &chains::establish(&found, &own));
            undone(undo, claim, applied)?;
        }
    }
    Ok(())
}

/// Puts the withdrawal on the undo stack, once for each step. It has a connection of its own, since answers may be left in the
/// one of the attempt.
fn undone(undo: &mut Undo, claim: &Claim, outcome: Result<()>) -> Result<()> {
    let own = claim.owner.clone();
    undo.push_unless_refused(outcome, "withdraw the rules", move || {
        let condemned = Condemned {
            is: &|owner| *owner == own,
            own: None,
            told: BTreeSet::new(),
            port: &|| None,
        };
        withdraw(&condemned).map(drop)
    })
}

/// Whether every family has the older packet filter.
fn has_older(claim: &Claim, how: How<'_>) -> Result<bool> {
    for family in claim.families() {
        if !how.iptables || place::older(family)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unable(claim: &Claim) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!(
            "firewall of {}: this kernel's nf_tables cannot do it, and iptables has no table",
            claim.owner
        ),
    )
    .hint("load the kernel modules nf_tables and nft_ct, or set \"backend\" to \"iptables\"")
}

/// The chains that matter.
pub(crate) fn names<'a>(claim: &Claim, how: How<'a>) -> Vec<&'a str> {
    let mut names = vec![HOOK];
    if how.accepts {
        names.extend([ACCEPTS, how.admin]);
    }
    if claim.member.is_some() {
        names.extend([STAGE_1, STAGE_2]);
    }
    names
}

/// The claim's needs in one family.
pub(crate) fn need<'a>(
    claim: &'a Claim,
    how: How<'a>,
    family: Family,
    renewed: Vec<IpAddr>,
) -> Need<'a> {
    let of_family = |ip: &&IpAddr| how.accepts && Family::of(**ip) == family;
    Need {
        accepted: claim.addresses.iter().filter(of_family).copied().collect(),
        renewed,
        admin: how.admin,
        member: claim.member.as_ref(),
    }
}

fn commit(netfilter: &Netfilter, claim: &Claim, how: How<'_>, natives: &[Family]) -> Result<()> {
    let plan = || batch(netfilter, claim, how, natives);
    table::insist(netfilter, &RACES, plan)?.map_err(kernel)
}

fn batch(
    netfilter: &Netfilter,
    claim: &Claim,
    how: How<'_>,
    natives: &[Family],
) -> Result<(Batch, Guard)> {
    let mut batch = Batch::default();
    let mut guard = Guard::Values;
    let standing = Standing::of(netfilter, claim)?;
    // Nobody has had the addresses, so they have no rules. Those that another suite has left behind go with ours.
    let extent = if standing.is_fresh {
        Extent::Beginning
    } else {
        Extent::All
    };
    for (set, element) in standing.outdated {
        batch.take(TABLE, set, &[element]);
    }
    for (set, element) in standing.missing {
        batch.add(TABLE, set, &[element], false);
    }
    for family in natives {
        let names = names(claim, how);
        let mut found = place::native(netfilter, *family, &names, extent)?;
        // Rules of others are before it.
        if !chains::leads_to(&found, how.admin) {
            found = place::native(netfilter, *family, &names, Extent::All)?;
        }
        let need = need(claim, how, *family, standing.shared.clone());
        let steps = chains::establish(&found, &need);
        if steps.iter().any(is_of_all) {
            guard = Guard::Generation;
        }
        place::plan(&mut batch, *family, &steps);
    }
    Ok((batch, guard))
}

/// Whether two who take the step at once would have it twice.
fn is_of_all(step: &Step) -> bool {
    !matches!(step, Step::Delete(..)) && !matches!(step, Step::Add(chain, ..) if *chain == ACCEPTS)
}
