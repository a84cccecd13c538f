//! Making a part, or making it anew.

use linkspan_netlink::error::Error;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use nix::errno::Errno;

use super::part::{Former, LAYOUT, Part, State, see};
use super::{COMMENT, Guard, TABLE, attempt, open};
use crate::kernel;

/// Makes what is missing of the part, and what is there of another layout or type anew, in one transaction. Elements
/// stay. Does nothing where the part is whole by now. Returns what the kernel lacks for it, if anything.
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

/// Whether the kernel can do what a part needs.
#[derive(Debug)]
pub enum Support {
    /// It can, over this connection.
    Whole(Netfilter),
    /// It has nf_tables, but not enough of it: what it refused.
    Lacking(Error),
    /// It has no nf_tables.
    Absent,
}

/// Whether the kernel can do what `part` needs. Nothing is left of the attempt.
pub fn support(part: &Part) -> Result<Support> {
    let Some(netfilter) = open()? else {
        return Ok(Support::Absent);
    };
    // What is there was made by this kernel.
    if see(&netfilter, part, &[]).map_err(kernel)?.state != State::Missing {
        return Ok(Support::Whole(netfilter));
    }
    let lacking = lacks(&netfilter, part)?;
    Ok(lacking.map_or(Support::Whole(netfilter), Support::Lacking))
}

fn plan(netfilter: &Netfilter, part: &Part) -> Result<(Batch, Guard)> {
    let chains = (part.chains)();
    let questions: Vec<_> = chains
        .iter()
        .map(|chain| Question::Chain(TABLE, chain.name))
        .collect();
    let found = netfilter.look(&questions).map_err(kernel)?;
    let found: Vec<_> = found.iter().filter_map(Answer::chain).collect();
    let mut batch = Batch::default();
    batch.ensure_table(TABLE, COMMENT);
    for chain in &found {
        batch.flush_chain(TABLE, &chain.name);
    }
    // Chains tell their layout by a comment, which the kernel takes at their creation alone. One that has it stays, since
    // somebody else's rules may lead there.
    for chain in found.iter().filter(|chain| chain.comment != LAYOUT) {
        batch.delete_chain(TABLE, &chain.name);
    }
    let mut former = Vec::new();
    let mut missing: Vec<&Set> = part.sets.to_vec();
    for found in netfilter.sets(TABLE).map_err(kernel)? {
        let Some(set) = part.sets.iter().find(|set| set.name == found.name) else {
            continue;
        };
        if found.is(set) {
            missing.retain(|missing| missing != set);
            continue;
        }
        let elements = netfilter.elements(TABLE, set).map_err(kernel)?;
        batch.delete_set(TABLE, set.name);
        former.push(Former {
            set: found,
            elements,
        });
    }
    // What two make at once for the first time is the same.
    let guard = if found.is_empty() && former.is_empty() {
        Guard::Values
    } else {
        Guard::Generation
    };
    batch.ensure(TABLE, &missing, &chains);
    for (set, elements) in (part.convert)(netfilter, &former)? {
        batch.add(TABLE, set, &elements, false);
    }
    Ok((batch, guard))
}

/// What the kernel lacks for the part, found out by a transaction that is refused at its end and so leaves nothing;
/// `None` where it lacks nothing.
fn lacks(netfilter: &Netfilter, part: &Part) -> Result<Option<Error>> {
    /// Never made.
    const TRIAL: Table = Table {
        name: "linkspan-trial",
        ..TABLE
    };
    let mut batch = Batch::default();
    batch.ensure_table(TRIAL, COMMENT);
    batch.ensure(TRIAL, part.sets, &(part.chains)());
    batch.fail(TRIAL);
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::EEXIST) => Ok(None),
        Err(err) if is_lack(&err) => Ok(Some(err)),
        Err(err) => Err(kernel(err)),
        Ok(()) => Ok(None),
    }
}

/// Whether the kernel lacks a kind of chain, of set or of expression: all that a batch needs of others is in it.
fn is_lack(err: &Error) -> bool {
    err.is(Errno::ENOENT) || err.is(Errno::EOPNOTSUPP) || err.is(Errno::EINVAL)
}
