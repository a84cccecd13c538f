//! Published ports in our own table: an attachment's elements, their removal and their comparison.

use std::net::IpAddr;

use linkspan_attach::kernel;
use linkspan_filter::table::{self, TABLE};
use linkspan_nftables::Netfilter;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use crate::conflict;
use crate::elements;
use crate::mapping::Mapping;
use crate::publication::Publication;
use crate::rules::PART;
use crate::sets::{PUBLISHED, SETS};

/// Withdraws the ports of the condemned owners, in one transaction. Returns the mappings with the containers'
/// addresses.
pub(crate) fn withdraw(
    netfilter: &Netfilter,
    condemned: impl Fn(&Owner) -> bool,
) -> Result<Vec<(Mapping, IpAddr)>> {
    let is_condemned =
        |element: &Element| table::owner(element).is_some_and(|owner| condemned(&owner));
    let removed = table::remove(netfilter, TABLE, SETS, is_condemned)?;
    let mut withdrawn = Vec::new();
    for (set, elements) in &removed {
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
