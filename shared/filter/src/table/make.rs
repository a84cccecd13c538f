//! Creating or rebuilding a part.

use linkspan_netlink::error::Error;
use linkspan_nftables::found::FoundChain;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use nix::errno::Errno;

use super::part::{Former, Part, State, see};
use super::{Guard, attempt, comment, open};
use crate::kernel;

/// Creates the missing objects of the part, and rebuilds those of another layout or type, in one transaction that keeps
/// the elements. Does nothing if the part is whole by now. Returns the kernel's error if it lacks a feature.
pub fn make(netfilter: &Netfilter, part: &Part) -> Result<Option<Error>> {
    let made = attempt(netfilter, || {
        let seen = see(netfilter, part, &[]).map_err(kernel)?;
        match seen.state {
            State::Whole => Ok((Batch::default(), Guard::Generation)),
            State::Missing | State::Broken(_) => plan(netfilter, part),
        }
    })?;
    match made {
        Err(err) if is_lack(&err) => Ok(Some(err)),
        made => made.map(|()| None).map_err(kernel),
    }
}

/// The kernel's support for a part.
#[derive(Debug)]
pub enum Support {
    /// Full support, over this connection.
    Whole(Netfilter),
    /// The kernel has nf_tables, but refused a part of it.
    Lacking(Error),
    /// The kernel has no nf_tables.
    Absent,
}

/// Returns whether the kernel supports `part`. The attempt leaves nothing behind.
pub fn support(part: &Part) -> Result<Support> {
    let Some(netfilter) = open()? else {
        return Ok(Support::Absent);
    };
    // An existing part was made by this kernel.
    if see(&netfilter, part, &[]).map_err(kernel)?.state != State::Missing {
        return Ok(Support::Whole(netfilter));
    }
    let lacking = lacks(&netfilter, part)?;
    Ok(lacking.map_or(Support::Whole(netfilter), Support::Lacking))
}

fn plan(netfilter: &Netfilter, part: &Part) -> Result<(Batch, Guard)> {
    let (table, chains) = (part.table, (part.chains)());
    let questions: Vec<_> = chains
        .iter()
        .map(|chain| Question::Chain(table, chain.name))
        .collect();
    let found = netfilter.look(&questions).map_err(kernel)?;
    let found: Vec<_> = found.iter().filter_map(Answer::chain).collect();
    let mut batch = Batch::default();
    batch.ensure_table(table, comment(table));
    for chain in &found {
        batch.flush_chain(table, &chain.name);
    }
    // A comment names the layout, and the kernel takes a comment only at a chain's creation. A chain with the right
    // comment stays, since foreign rules may jump there.
    let is_current = |found: &FoundChain| {
        let mut wanted = chains.iter();
        wanted.any(|chain| chain.name == found.name && chain.comment == found.comment)
    };
    for chain in found.iter().filter(|chain| !is_current(chain)) {
        batch.delete_chain(table, &chain.name);
    }
    let mut former = Vec::new();
    let mut missing: Vec<&Set> = part.sets.to_vec();
    for found in netfilter.sets(table).map_err(kernel)? {
        let Some(set) = part.sets.iter().find(|set| set.name == found.name) else {
            continue;
        };
        if found.is(set) {
            missing.retain(|missing| missing != set);
            continue;
        }
        let elements = netfilter.elements(table, set).map_err(kernel)?;
        batch.delete_set(table, set.name);
        former.push(Former {
            set: found,
            elements,
        });
    }
    // Concurrent first creations produce the same objects.
    let guard = if found.is_empty() && former.is_empty() {
        Guard::Values
    } else {
        Guard::Generation
    };
    batch.ensure(table, &missing, &chains);
    for (set, elements) in (part.convert)(netfilter, &former)? {
        batch.add(table, set, &elements, false);
    }
    Ok((batch, guard))
}

/// The kernel's error if it lacks a feature that the part needs. The trial transaction is refused at its end, so it
/// leaves nothing.
fn lacks(netfilter: &Netfilter, part: &Part) -> Result<Option<Error>> {
    // Never created.
    let trial = Table {
        name: "linkspan-trial",
        ..part.table
    };
    let mut batch = Batch::default();
    batch.ensure_table(trial, comment(trial));
    batch.ensure(trial, part.sets, &(part.chains)());
    batch.fail(trial);
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::EEXIST) => Ok(None),
        Err(err) if is_lack(&err) => Ok(Some(err)),
        Err(err) => Err(kernel(err)),
        Ok(()) => Ok(None),
    }
}

/// Returns whether the kernel lacks a kind of chain, set or expression. The batch needs nothing else from outside.
fn is_lack(err: &Error) -> bool {
    err.is(Errno::ENOENT) || err.is(Errno::EOPNOTSUPP) || err.is(Errno::EINVAL)
}
