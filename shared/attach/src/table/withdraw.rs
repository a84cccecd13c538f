//! How elements go: they expire where the kernel can do that to them, else they are deleted.
//!
//! Closing the socket soon after a deletion blocks for an RCU grace period (some 15 ms), an expiry costs none of that
//! (Linux 6.12; `Batch::expire`).

use std::time::Duration;

use linkspan_netlink::error::Error;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use nix::errno::Errno;

use super::{TABLE, attempt, transact};
use crate::kernel;

/// Elements by their set.
pub type Elements<'a> = Vec<(&'a Set, Vec<Element>)>;

/// Removes the elements of `sets` that `condemned` picks, in one transaction, and returns them. They are gone when it
/// returns. Where another writer comes in between, only the listed elements are looked up again, because listing is slow
/// enough that the next writer may come meanwhile.
pub fn remove<'a>(
    netfilter: &Netfilter,
    sets: &[&'a Set],
    condemned: impl Fn(&Element) -> bool,
) -> Result<Elements<'a>> {
    let mut listed: Option<Elements<'a>> = None;
    remove_chosen(netfilter, || {
        if let Some(listed) = &listed {
            return still(netfilter, listed).map_err(kernel);
        }
        let all = list(netfilter, sets, &condemned).map_err(kernel)?;
        Ok(listed.insert(all).clone())
    })?;
    Ok(listed.unwrap_or_default())
}

/// Removes the elements that `choose` picks of what it sees, in one transaction, which is planned anew whenever another
/// writer came in between.
pub fn remove_chosen<'a>(
    netfilter: &Netfilter,
    mut choose: impl FnMut() -> Result<Elements<'a>>,
) -> Result<()> {
    let mut chosen = Vec::new();
    let expired = attempt(netfilter, || {
        chosen = choose()?;
        Ok(batch(&chosen, Batch::expire))
    })?;
    let is_ignored = match expired {
        // The set lets nothing expire (`nft_add_set_elem`).
        Err(err) if err.is(Errno::EINVAL) => true,
        expired => {
            expired.map_err(kernel)?;
            !wait(netfilter, &chosen)?
        }
    };
    if is_ignored {
        transact(netfilter, || Ok(batch(&choose()?, Batch::delete)))?;
    }
    Ok(())
}

fn batch(chosen: &Elements<'_>, step: fn(&mut Batch, Table, &Set, &[Element])) -> Batch {
    let mut batch = Batch::default();
    for (set, elements) in chosen {
        step(&mut batch, TABLE, set, elements);
    }
    batch
}

/// Those of the listed elements that are still there and of the same owner.
pub fn still<'a>(
    netfilter: &Netfilter,
    listed: &Elements<'a>,
) -> std::result::Result<Elements<'a>, Error> {
    let questions: Vec<_> = listed.iter().flat_map(questions).collect();
    let mut answers = netfilter.look(&questions)?.into_iter();
    let there = |(set, elements): &(&'a Set, Vec<Element>)| {
        let answers = answers.by_ref().take(elements.len());
        let pairs = elements.iter().zip(answers);
        let there = pairs.filter(|(element, answer)| is_same(answer.element(), element));
        (*set, there.map(|(element, _)| element.clone()).collect())
    };
    Ok(listed.iter().map(there).collect())
}

fn questions<'q>((set, elements): &'q (&Set, Vec<Element>)) -> Vec<Question<'q>> {
    let question = |element: &'q Element| Question::Element(TABLE, set, element);
    elements.iter().map(question).collect()
}

/// A range is looked up by its start alone.
fn is_same(found: Option<&Element>, listed: &Element) -> bool {
    found.is_some_and(|found| found.comment == listed.comment && found.key_end == listed.key_end)
}

/// Waits for the kernel's tick in which the elements expire; false where it has ignored that they are to. One element of
/// each set stands for all, since they went in one transaction.
fn wait(netfilter: &Netfilter, chosen: &Elements<'_>) -> Result<bool> {
    const TICK: Duration = Duration::from_millis(1);
    let last = |(set, elements): &(_, Vec<Element>)| Some((*set, vec![elements.last()?.clone()]));
    let mut waited: Elements<'_> = chosen.iter().filter_map(last).collect();
    let mut changes = None;
    loop {
        let questions: Vec<_> = waited.iter().flat_map(questions).collect();
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
    sets: &[&'a Set],
    chosen: impl Fn(&Element) -> bool,
) -> std::result::Result<Elements<'a>, Error> {
    let mut found = Vec::new();
    for set in sets {
        let mut elements = netfilter.elements(TABLE, set)?;
        elements.retain(&chosen);
        if !elements.is_empty() {
            found.push((*set, elements));
        }
    }
    Ok(found)
}
