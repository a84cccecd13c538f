//! Published ports in our own table: an attachment's elements, their removal and their comparison.

use std::net::IpAddr;

use linkspan_attach::kernel;
use linkspan_filter::table::{self, Elements, TABLE};
use linkspan_nftables::Netfilter;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use crate::conflict;
use crate::elements::{self, SHARED};
use crate::mapping::Mapping;
use crate::publication::Publication;
use crate::rules::PART;
use crate::sets::{FROM_LOOPBACK, PUBLISHED, SETS};

/// The most elements that DEL looks up by their keys. More are listed as fast.
const KEYS: usize = 64;

/// Withdraws the ports of the condemned owners, in one transaction. Returns the mappings with the containers'
/// addresses.
pub(crate) fn withdraw(
    netfilter: &Netfilter,
    condemned: impl Fn(&Owner) -> bool,
) -> Result<Vec<(Mapping, IpAddr)>> {
    let is_condemned =
        |element: &Element| table::owner(element).is_some_and(|owner| condemned(&owner));
    let removed = table::remove(netfilter, TABLE, SETS, is_condemned)?;
    end(netfilter, &removed)
}

/// The same for an attachment whose ports are told. Everybody's ports are listed only where these are not its own.
pub(crate) fn withdraw_told(
    netfilter: &Netfilter,
    told: &Publication,
) -> Result<Vec<(Mapping, IpAddr)>> {
    let is_own = |element: &Element| table::owner(element).is_some_and(|one| one == told.owner);
    let removed = table::remove_found(netfilter, TABLE, || match own(netfilter, told)? {
        Some(own) => Ok(own),
        None => table::list(netfilter, TABLE, SETS, is_own).map_err(kernel),
    })?;
    end(netfilter, &removed)
}

/// The elements of the attachment, by their keys; `None` where one is missing or somebody else's. The source for connections
/// from the loopback address depends on the routes of ADD, so it alone may be missing.
fn own(netfilter: &Netfilter, told: &Publication) -> Result<Option<Elements<'static>>> {
    let mut promised = told.elements(&[]);
    promised.retain(|(_, element, _)| element.comment != SHARED);
    if promised.is_empty() || promised.len() > KEYS {
        return Ok(None);
    }
    let questions: Vec<_> = promised
        .iter()
        .map(|(set, element, _)| Question::Element(TABLE, set, element))
        .collect();
    let found = netfilter.look(&questions).map_err(kernel)?;
    let mut own = Elements::new();
    for ((set, element, _), found) in promised.iter().zip(&found) {
        let found = table::confirmed(netfilter, (TABLE, set), element, found.element());
        let found = found.map_err(kernel)?.filter(|found| found.timeout == 0);
        let of_routes = FROM_LOOPBACK.contains(set);
        match found {
            Some(found)
                if found.comment == element.comment
                    && (of_routes || found.value == element.value) =>
            {
                own.push((*set, vec![found]));
            }
            None if of_routes => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(own))
}

/// The mappings among elements that are gone. The claims that they shared go as well, unless somebody needs them.
fn end(netfilter: &Netfilter, removed: &Elements<'_>) -> Result<Vec<(Mapping, IpAddr)>> {
    let mut withdrawn = Vec::new();
    for (set, elements) in removed {
        if let Some(map) = PUBLISHED.iter().find(|map| map.set == *set) {
            let read = |element| elements::read(element, map.by_addr, map.family);
            withdrawn.extend(elements.iter().filter_map(read));
        }
    }
    let mappings: Vec<_> = withdrawn.iter().map(|(mapping, _)| *mapping).collect();
    conflict::tidy(netfilter, &mappings)?;
    Ok(withdrawn)
}

/// Checks that the rules are there, and every promised element: it leads to the container, and belongs to the
/// attachment or to another one of the same container.
pub(crate) fn verify(netfilter: &Netfilter, publication: &Publication) -> Result<()> {
    table::verify(netfilter, &PART)?;
    let verify = |elsewhere: &[Mapping]| {
        let promised = publication.elements(elsewhere);
        let questions: Vec<_> = promised
            .iter()
            .map(|(set, element, _)| Question::Element(TABLE, set, element))
            .collect();
        let found = netfilter.look(&questions).map_err(kernel)?;
        for ((set, element, what), found) in promised.iter().zip(&found) {
            let found = table::confirmed(netfilter, (TABLE, set), element, found.element());
            same(set, element, what, found.map_err(kernel)?.as_ref())?;
        }
        Ok(())
    };
    verify(&[]).or_else(
        |failure| match conflict::elsewhere(netfilter, publication) {
            Ok(elsewhere) if !elsewhere.is_empty() => verify(&elsewhere),
            _ => Err(failure),
        },
    )
}

/// Compares the found element with the promised one, value and owner included.
fn same(set: &Set, promised: &Element, what: &str, found: Option<&Element>) -> Result<()> {
    let object = || format!("{what} in set {} of {TABLE}", set.name);
    let differs = match found {
        None => mismatch(object(), "an element", "none"),
        Some(found) if found.comment != promised.comment => {
            mismatch(object(), &promised.comment, &found.comment)
        }
        Some(found) if found.value != promised.value => {
            mismatch(object(), "the container", "another destination")
        }
        Some(_) => return Ok(()),
    };
    Err(differs.hint("`linkspan restore` puts back what is missing"))
}
