//! Removal of elements: by expiry, where the kernel supports that for existing elements, else by deletion.
//!
//! Closing the socket soon after a deletion blocks for an RCU grace period (about 15 ms). An expiry does not (Linux
//! 6.12; `Batch::expire`).

use std::time::Duration;

use linkspan_netlink::error::Error;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::ErrorCode;
use nix::errno::Errno;

use super::{Guard, insist};
use crate::kernel;

/// Elements by their set, all of one table.
pub type Elements<'a> = Vec<(&'a Set, Vec<Element>)>;

/// Removes the elements of `sets` that `condemned` picks, in one transaction, and returns them once they are gone; see
/// [`remove_found`].
pub fn remove<'a>(
    netfilter: &Netfilter,
    table: Table,
    sets: &[&'a Set],
    condemned: impl Fn(&Element) -> bool,
) -> Result<Elements<'a>> {
    remove_found(netfilter, table, || {
        list(netfilter, table, sets, &condemned).map_err(kernel)
    })
}

/// Removes the elements that `find` finds, in one transaction, and returns them once they are gone. A key that another owner
/// has taken meanwhile stays, by its different value. Finding may be slow enough that another writer commits meanwhile, so a
/// retry looks up only the elements that were found.
pub fn remove_found<'a>(
    netfilter: &Netfilter,
    table: Table,
    mut find: impl FnMut() -> Result<Elements<'a>>,
) -> Result<Elements<'a>> {
    let mut found: Option<Elements<'a>> = None;
    remove_by(netfilter, table, Guard::Values, || {
        if let Some(found) = &found {
            return still(netfilter, table, found).map_err(kernel);
        }
        Ok(found.insert(find()?).clone())
    })?;
    Ok(found.unwrap_or_default())
}

/// Removes the elements that `choose` picks, in one transaction. It chooses again where another writer has taken or removed one
/// of them.
pub fn expire<'a>(
    netfilter: &Netfilter,
    table: Table,
    choose: impl FnMut() -> Result<Elements<'a>>,
) -> Result<()> {
    remove_by(netfilter, table, Guard::Values, choose)
}

/// Removes the elements that `choose` picks, in one transaction, and chooses again after every interfering change.
pub fn remove_chosen<'a>(
    netfilter: &Netfilter,
    table: Table,
    choose: impl FnMut() -> Result<Elements<'a>>,
) -> Result<()> {
    remove_by(netfilter, table, Guard::Generation, choose)
}

/// The same for harmless elements. If other writers are faster, the elements stay.
pub fn tidy<'a>(
    netfilter: &Netfilter,
    table: Table,
    choose: impl FnMut() -> Result<Elements<'a>>,
) -> Result<()> {
    match remove_by(netfilter, table, Guard::Courtesy, choose) {
        Err(failure) if failure.code() == ErrorCode::TRY_AGAIN_LATER => Ok(()),
        done => done,
    }
}

fn remove_by<'a>(
    netfilter: &Netfilter,
    table: Table,
    guard: Guard,
    mut choose: impl FnMut() -> Result<Elements<'a>>,
) -> Result<()> {
    let mut chosen = Vec::new();
    let expired = insist(netfilter, &[Errno::EEXIST], || {
        chosen = choose()?;
        Ok((batch(table, &chosen, Batch::expire), guard))
    })?;
    let is_ignored = match expired {
        // The set does not support timeouts (`nft_add_set_elem`).
        Err(err) if err.is(Errno::EINVAL) => true,
        expired => {
            expired.map_err(kernel)?;
            !wait(netfilter, table, &chosen)?
        }
    };
    if is_ignored {
        let take = || Ok((batch(table, &choose()?, Batch::take), guard));
        insist(netfilter, &[Errno::EEXIST], take)?.map_err(kernel)?;
    }
    Ok(())
}

fn batch(
    table: Table,
    chosen: &Elements<'_>,
    step: fn(&mut Batch, Table, &Set, &[Element]),
) -> Batch {
    let mut batch = Batch::default();
    for (set, elements) in chosen {
        step(&mut batch, table, set, elements);
    }
    batch
}

/// The current form of the listed elements that still exist with the same owner.
pub fn still<'a>(
    netfilter: &Netfilter,
    table: Table,
    listed: &Elements<'a>,
) -> std::result::Result<Elements<'a>, Error> {
    let questions: Vec<_> = listed
        .iter()
        .flat_map(|some| questions(table, some))
        .collect();
    let mut answers = netfilter.look(&questions)?.into_iter();
    let mut all = Vec::new();
    for (set, elements) in listed {
        let mut there = Vec::new();
        for (listed, answer) in elements.iter().zip(answers.by_ref()) {
            let found = confirmed(netfilter, (table, set), listed, answer.element())?;
            there.extend(found.filter(|found| is_same(Some(found), listed)));
        }
        all.push((*set, there));
    }
    Ok(all)
}

/// The element with the key of `asked`, given the kernel's answer `found`.
///
/// While a set of ranges changes, a lookup may miss an element or find another one: before Linux 6.10 the kernel looks
/// at the copy under change (`nft_pipapo_get`). A dump shows the active copy (`nft_pipapo_walk`).
pub fn confirmed(
    netfilter: &Netfilter,
    (table, set): (Table, &Set),
    asked: &Element,
    found: Option<&Element>,
) -> std::result::Result<Option<Element>, Error> {
    let is_it = |found: &Element| (&found.key, &found.key_end) == (&asked.key, &asked.key_end);
    if !set.interval || found.is_some_and(is_it) {
        return Ok(found.cloned());
    }
    Ok(netfilter.elements(table, set)?.into_iter().find(is_it))
}

fn questions<'q>(table: Table, (set, elements): &'q (&Set, Vec<Element>)) -> Vec<Question<'q>> {
    let question = |element: &'q Element| Question::Element(table, set, element);
    elements.iter().map(question).collect()
}

/// A lookup of a range uses only its start.
fn is_same(found: Option<&Element>, listed: &Element) -> bool {
    found.is_some_and(|found| found.comment == listed.comment && found.key_end == listed.key_end)
}

/// Waits for the kernel's tick in which the elements expire. Returns false if the kernel ignored the expiry. One
/// element of each set is enough, since all went in one transaction.
fn wait(netfilter: &Netfilter, table: Table, chosen: &Elements<'_>) -> Result<bool> {
    const TICK: Duration = Duration::from_millis(1);
    let last = |(set, elements): &(_, Vec<Element>)| Some((*set, vec![elements.last()?.clone()]));
    let mut waited: Elements<'_> = chosen.iter().filter_map(last).collect();
    let mut changes = None;
    loop {
        let questions: Vec<_> = waited
            .iter()
            .flat_map(|some| questions(table, some))
            .collect();
        let answers = netfilter.look(&questions).map_err(kernel)?;
        let there: Vec<_> = waited
            .iter()
            .zip(&answers)
            .map(|((_, one), answer)| {
                let found = answer
                    .element()
                    .filter(|found| one.iter().all(|one| is_same(Some(found), one)));
                found.map(|found| found.timeout)
            })
            .collect();
        if there.contains(&Some(0)) {
            return Ok(false);
        }
        let mut is_there = there.iter().map(Option::is_some);
        waited.retain(|_| is_there.next().unwrap_or_default());
        if waited.is_empty() {
            return Ok(true);
        }
        let changes = match &changes {
            Some(changes) => changes,
            None => changes.insert(Changes::open().map_err(kernel)?),
        };
        changes.wait(TICK).map_err(kernel)?;
    }
}

/// The elements of `sets` that `chosen` picks.
pub fn list<'a>(
    netfilter: &Netfilter,
    table: Table,
    sets: &[&'a Set],
    chosen: impl Fn(&Element) -> bool,
) -> std::result::Result<Elements<'a>, Error> {
    let mut found = Vec::new();
    for set in sets {
        let mut elements = netfilter.elements(table, set)?;
        elements.retain(&chosen);
        if !elements.is_empty() {
            found.push((*set, elements));
        }
    }
    Ok(found)
}
