//! CHECK: verifies all state, in whichever place either suite keeps it.

use linkspan_filter::table::{self, Support};
use linkspan_nftables::Netfilter;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;

use crate::chains::{self, Found, Step};
use crate::claim::Claim;
use crate::establish::{How, names, need};
use crate::held;
use crate::part::PART;
use crate::place::{self, Extent};
use crate::port;
use crate::standing;

/// Compares the claim with the present state.
pub(crate) fn verify(claim: &Claim, how: How<'_>) -> Result<()> {
    let netfilter = match table::support(&PART)? {
        Support::Whole(netfilter) => Some(netfilter),
        Support::Lacking(_) => table::open()?,
        Support::Absent => None,
    };
    let mut by_iptables = how.iptables;
    for family in claim.families() {
        by_iptables &= of_family(netfilter.as_ref(), claim, how, family)?;
    }
    match netfilter {
        Some(netfilter) => own(&netfilter, claim, how, by_iptables),
        None => Ok(()),
    }
}

/// Verifies the rules of iptables in each of its tables. Returns false if it has no table.
fn of_family(
    netfilter: Option<&Netfilter>,
    claim: &Claim,
    how: How<'_>,
    family: Family,
) -> Result<bool> {
    if !how.iptables {
        return Ok(false);
    }
    let names = names(claim, how);
    let mut places = Vec::new();
    if let Some(netfilter) = netfilter
        && !place::natives(netfilter, &[family])?.is_empty()
    {
        places.push(place::native(netfilter, family, &names, Extent::All)?);
    }
    if let Some(older) = place::older(family)? {
        places.push(place::chains(&older, &names));
    }
    for found in &places {
        complete(found, claim, how, family)?;
    }
    if places.is_empty() && how.makes_table {
        return Err(missing("table filter of iptables", "its chains"));
    }
    Ok(!places.is_empty())
}

fn complete(found: &Found, claim: &Claim, how: How<'_>, family: Family) -> Result<()> {
    let need = need(claim, how, family, Vec::new());
    match chains::establish(found, &need).first() {
        None => Ok(()),
        Some(Step::Make(chain)) => Err(missing(
            "table filter of iptables",
            &format!("chain {chain}"),
        )),
        Some(Step::Add(chain, rule, _) | Step::Delete(chain, _, rule)) => Err(missing(
            &format!("chain {chain} of iptables"),
            &format!("rule {:?}", rule.text()),
        )),
    }
}

/// Verifies the elements of our table. Attachments of the Go plugin have none, but they have rules, or are in a zone
/// of firewalld.
fn own(netfilter: &Netfilter, claim: &Claim, how: How<'_>, by_iptables: bool) -> Result<()> {
    let elements = held::elements(claim);
    let in_zone = !how.accepts && claim.member.is_none();
    if (by_iptables || in_zone) && !standing::any(netfilter, elements.clone())? {
        return Ok(());
    }
    table::verify(netfilter, &PART)?;
    if let Some((set, _)) = standing::first_missing(netfilter, elements)? {
        return Err(missing(
            &format!("set {} of {}", set.name, table::TABLE),
            "an element of the attachment",
        ));
    }
    let Some(member) = &claim.member else {
        return Ok(());
    };
    let policy = held::policy(member, port::is_needed(member)?);
    match standing::first_missing(netfilter, policy)? {
        None => Ok(()),
        Some((set, _)) => Err(missing(
            &format!("set {} of {}", set.name, table::TABLE),
            &format!("bridge {}", member.bridge),
        )),
    }
}

fn missing(place: &str, what: &str) -> Failure {
    mismatch(place, what, "none").hint("`linkspan restore` puts back what is missing")
}
