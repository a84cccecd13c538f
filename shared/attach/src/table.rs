//! The one nf_tables table that is ours: rules once for the host, and an element for what each attachment needs.
//!
//! A change of rules can make the kernel wait for every packet that is under way (28 ms were seen), a change of elements
//! costs 0.01 ms. So the rules of a [`Part`] are made by the first attachment that needs them and stay.

use std::net::IpAddr;

use linkspan_netlink::error::Error;
use linkspan_nftables::ruleset::{Chain, Element, Family, Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::kernel;
use crate::owner::Owner;
use crate::queue::Queue;
use crate::verify::mismatch;

/// The table; whoever wants to be rid of all that is ours there deletes it.
pub const TABLE: Table = Table {
    family: Family::Inet,
    name: "linkspan",
};

const COMMENT: &str = "Linkspan CNI plugins: published ports and masquerade";

/// How often a change is planned anew because other writers of nf_tables were faster.
const ATTEMPTS: usize = 100;

/// Sets and chains that belong together.
#[derive(Debug)]
pub struct Part {
    /// Sets and maps.
    pub sets: &'static [&'static Set],
    /// Chains with their rules.
    pub chains: fn() -> Vec<Chain>,
}

/// A pair of sets, one for each family.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// IPv4
    pub v4: &'static Set,
    /// IPv6
    pub v6: &'static Set,
}

impl Pair {
    /// The set for addresses like this one.
    pub fn of(self, ip: IpAddr) -> &'static Set {
        if ip.is_ipv6() { self.v6 } else { self.v4 }
    }
}

/// A connection to nf_tables; `None` where the kernel has none.
pub fn open() -> Result<Option<Netfilter>> {
    let opened = Netfilter::open().and_then(|netfilter| {
        netfilter.generation()?;
        Ok(netfilter)
    });
    match opened {
        // A part of netfilter that is not there makes a request invalid (nfnetlink_rcv_msg).
        Err(err) if is_unsupported(&err) || err.is(Errno::EINVAL) => Ok(None),
        opened => opened.map(Some).map_err(kernel),
    }
}

/// Commits what `fill` adds to sets of `part`, which is made where it is missing. Not yet the protocol's error: the
/// caller may know what to do about `EEXIST`.
pub fn add(
    netfilter: &Netfilter,
    part: &Part,
    fill: impl Fn(&mut Batch),
) -> std::result::Result<(), Error> {
    let mut batch = Batch::default();
    fill(&mut batch);
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::ENOENT) => {
            let mut batch = making(part);
            fill(&mut batch);
            netfilter.commit(batch)
        }
        done => done,
    }
}

/// Makes the sets, chains and rules of `part`, where they are missing.
pub fn make(netfilter: &Netfilter, part: &Part) -> std::result::Result<(), Error> {
    netfilter.commit(making(part))
}

fn making(part: &Part) -> Batch {
    let mut batch = Batch::default();
    batch.ensure(TABLE, COMMENT, part.sets, &(part.chains)());
    batch
}

/// Commits what `plan` makes of the state that it sees; planned anew whenever another writer changed that meanwhile.
pub fn transact(netfilter: &Netfilter, mut plan: impl FnMut() -> Result<Batch>) -> Result<()> {
    uninterrupted(netfilter, |seen| {
        let mut batch = plan()?;
        if batch.is_empty() {
            return Ok(Ok(()));
        }
        batch.at(seen);
        Ok(netfilter.commit(batch))
    })?
    .map_err(kernel)
}

/// What came of the first `attempt` that no other writer of nf_tables interrupted (`ERESTART`). It is given the
/// generation that its commit has to hold on to.
///
/// Who is interrupted queues up behind those of us that were, too: among hundreds at once everybody would be interrupted
/// again and again.
pub fn uninterrupted<T>(
    netfilter: &Netfilter,
    mut attempt: impl FnMut(u32) -> Result<std::result::Result<T, Error>>,
) -> Result<std::result::Result<T, Error>> {
    let mut place = None;
    for _ in 0..ATTEMPTS {
        let seen = netfilter.generation().map_err(kernel)?;
        match attempt(seen)? {
            Err(err) if err.is(Errno::ERESTART) => {
                place = place.or_else(Queue::join);
            }
            done => return Ok(done),
        }
    }
    Err(Failure::new(
        ErrorCode::TRY_AGAIN_LATER,
        format!("change {TABLE}: other writers of nf_tables were faster {ATTEMPTS} times"),
    )
    .hint("try again, or find out which program keeps changing nf_tables"))
}

/// Elements by their set.
pub type Elements<'a> = Vec<(&'a Set, Vec<Element>)>;

/// Deletes the elements of `sets` that `condemned` picks by their owner, in one transaction, and tells which. Where another
/// writer comes in between, they are only looked up again: to list sets takes long enough for the next one to come.
pub fn remove<'a>(
    netfilter: &Netfilter,
    sets: &[&'a Set],
    condemned: impl Fn(&Owner) -> bool,
) -> Result<Elements<'a>> {
    let mut listed: Option<Elements<'a>> = None;
    transact(netfilter, || {
        let found = match &listed {
            None => list(netfilter, sets, &condemned),
            Some(listed) => still(netfilter, listed),
        };
        let found = found.map_err(kernel)?;
        let mut batch = Batch::default();
        for (set, elements) in &found {
            batch.delete(TABLE, set, elements);
        }
        listed = Some(found);
        Ok(batch)
    })?;
    Ok(listed.unwrap_or_default())
}

fn list<'a>(
    netfilter: &Netfilter,
    sets: &[&'a Set],
    condemned: impl Fn(&Owner) -> bool,
) -> std::result::Result<Elements<'a>, Error> {
    let of_set = |set: &&'a Set| {
        let mut elements = netfilter.elements(TABLE, set)?;
        elements.retain(|element| owner(element).is_some_and(|owner| condemned(&owner)));
        Ok((*set, elements))
    };
    sets.iter().map(of_set).collect()
}

/// Those of the listed elements that are there, and whose they were.
fn still<'a>(
    netfilter: &Netfilter,
    listed: &Elements<'a>,
) -> std::result::Result<Elements<'a>, Error> {
    let of_set = |(set, elements): &(&'a Set, Vec<Element>)| {
        let mut there = Vec::new();
        for element in elements {
            let found = netfilter.element(TABLE, set, element)?;
            there.extend(found.filter(|found| found.comment == element.comment));
        }
        Ok((*set, there))
    };
    listed.iter().map(of_set).collect()
}

/// Removes the table with all that is in it; false where it is not there.
pub fn delete() -> Result<bool> {
    let netfilter = Netfilter::open().map_err(kernel)?;
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::ENOENT) => Ok(false),
        done => done.map(|()| true).map_err(kernel),
    }
}

/// Whose element it is; `None` where it is not one of ours.
pub fn owner(element: &Element) -> Option<Owner> {
    Owner::parse(&element.comment)
}

/// The rules of `part` are there, as many in each chain as it has.
pub fn verify(netfilter: &Netfilter, part: &Part) -> Result<()> {
    for chain in (part.chains)() {
        let found = netfilter.rules(TABLE, chain.name).map_err(kernel)?.len();
        if found != chain.rules.len() {
            return Err(mismatch(
                format!("chain {} in {TABLE}", chain.name),
                &format!("{} rules", chain.rules.len()),
                &found.to_string(),
            ));
        }
    }
    Ok(())
}

/// `set` has this element, with this value and of this owner.
pub fn verify_element(
    netfilter: &Netfilter,
    set: &Set,
    promised: &Element,
    what: &str,
) -> Result<()> {
    let found = netfilter.element(TABLE, set, promised).map_err(kernel)?;
    let object = || format!("{what} in set {} of {TABLE}", set.name);
    match found {
        None => Err(mismatch(object(), "an element", "none")),
        Some(found) if found.comment != promised.comment => {
            Err(mismatch(object(), &promised.comment, &found.comment))
        }
        Some(found) if found.value != promised.value => {
            Err(mismatch(object(), "the container", "another destination"))
        }
        Some(_) => Ok(()),
    }
}

/// Whether the kernel said that it has no nf_tables, or not enough of it.
pub fn is_unsupported(err: &Error) -> bool {
    err.is(Errno::EOPNOTSUPP) || err.is(Errno::EPROTONOSUPPORT)
}
