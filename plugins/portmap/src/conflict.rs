//! Ports that another owner has. A dead owner's ports are taken over; a living owner's are waited for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use linkspan_attach::kernel;
use linkspan_filter::table::{self, Elements, Guard, TABLE};
use linkspan_netlink::error::Error;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::home::Home;
use linkspan_owner::life::Life;
use linkspan_plugin::{Result, step};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::elements::{self, SHARED};
use crate::lives::Lives;
use crate::mapping::Mapping;
use crate::publication::{Publication, fill};
use crate::sets::{CLAIMS, PUBLISH_ADDR, PUBLISHED, SETS};

/// The longest time between two looks at an owner's life. The kernel sends no event for the end of a namespace.
const LIFE: Duration = Duration::from_millis(500);

/// The limit of attempts where another writer commits between a survey and its transaction.
const ATTEMPTS: usize = 20;

/// Publishes, in one transaction. The kernel decides whether a port is free, so the usual case reads nothing. Ports of
/// a dead owner, and our own of an earlier ADD, are replaced. Ports of a living owner are waited for with nothing
/// locked, because engines may ask for a successor before they end the predecessor; they are refused when `patience`
/// ends. `room` removes ports of other suites whose owner is gone, or returns the refusal. Ports of another interface
/// of the same container stay: engines ask for a container's ports on each of its networks.
pub(crate) fn publish(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
    patience: Duration,
    room: impl Fn() -> Result<Option<Failure>>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let mut changes = None;
    loop {
        let taken = match room()? {
            Some(taken) => Some(taken),
            None => place(netfilter, publication, home)?,
        };
        let Some(taken) = taken else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(taken);
        }
        match &changes {
            // The loop looks once more after the subscription, so it misses no change.
            None => changes = Some(Changes::open().map_err(kernel)?),
            Some(changes) => changes.wait(left.min(LIFE)).map_err(kernel)?,
        }
    }
}

/// Publishes, or returns the refusal where a port is taken.
fn place(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
) -> Result<Option<Failure>> {
    let _step = step("nf_tables");
    let mut batch = Batch::default();
    fill(&mut batch, &publication.by_set(home, &[]));
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::EEXIST) || err.is(Errno::EBUSY) => {
            settle(netfilter, publication, home)
        }
        done => done.map(|()| None).map_err(kernel),
    }
}

/// The elements that conflict with a publication.
#[derive(Debug)]
struct Standing {
    /// Elements to be removed.
    condemned: Elements<'static>,
    /// Mappings that lead elsewhere in the same container.
    elsewhere: Vec<Mapping>,
}

/// Publishes beside present elements, or returns the refusal where a port is taken.
fn settle(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
) -> Result<Option<Failure>> {
    let on_every = publication.mappings.iter();
    let on_every = on_every.filter(|mapping| mapping.host_ip.one().is_none());
    let on_every: Vec<_> = on_every.collect();
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let standing = match survey(netfilter, publication)? {
            Ok(standing) => standing,
            Err(taken) => return Ok(Some(taken)),
        };
        let wanted = publication.by_set(home, &standing.elsewhere);
        let done = table::attempt(netfilter, || {
            let mut batch = Batch::default();
            let condemned = table::still(netfilter, TABLE, &standing.condemned).map_err(kernel)?;
            for (set, elements) in &condemned {
                batch.take(TABLE, set, elements);
            }
            let idle = idle_claims(netfilter, &on_every, &condemned)?;
            for (set, claims) in &idle {
                batch.delete(TABLE, set, claims);
            }
            fill(&mut batch, &wanted);
            // The value of an element does not show whether a claim is shared, so the generation must guard the
            // removal.
            let is_sure = idle.iter().all(|(_, claims)| claims.is_empty());
            let guard = if is_sure {
                Guard::Values
            } else {
                Guard::Generation
            };
            Ok((batch, guard))
        })?;
        match done {
            // Another writer committed since the survey.
            Err(err) if err.is(Errno::EEXIST) => refused = Some(err),
            done => {
                done.map_err(kernel)?;
                tidy(netfilter, &single_addresses(&standing.condemned))?;
                return Ok(None);
            }
        }
    }
    // The element belongs to no published port: the table was changed by hand.
    let refused = refused.unwrap_or_else(|| Error::new("publish", "ports", 0));
    let hint =
        format!("see `nft list {TABLE}`; `linkspan clear` and `linkspan restore` make it anew");
    Err(kernel(refused).hint(hint))
}

/// Divides present elements into those to remove and those to keep. Returns the refusal if a living owner has a port.
fn survey(
    netfilter: &Netfilter,
    publication: &Publication,
) -> Result<std::result::Result<Standing, Failure>> {
    let own = publication.owner.line();
    let mut condemned = BTreeSet::from([own.clone()]);
    let mut elsewhere = Vec::new();
    let lives = Lives::now();
    for map in PUBLISHED {
        for element in netfilter.elements(TABLE, map.set).map_err(kernel)? {
            let Some((present, _)) = elements::read(&element, map.by_addr, map.family) else {
                continue;
            };
            let Some(wanted) = publication.overlapping(&present) else {
                continue;
            };
            let gone = || lives.of(&element) == Life::Gone;
            if element.comment == own || gone() {
                condemned.insert(element.comment);
            } else if wanted.equals(&present) && publication.is_of_the_container_of(&element) {
                elsewhere.push(present);
            } else {
                return Ok(Err(taken(wanted, &element)));
            }
        }
    }
    let wanted = publication.keys(&elsewhere);
    let goes = |set: &Set, element: &Element| {
        condemned.contains(&element.comment)
            || publication.is_about(set, element)
            // A part of an incomplete publication: no present mapping needs it.
            || element.comment != SHARED && wanted.contains(&(set.name, element.key.clone()))
    };
    Ok(Ok(Standing {
        condemned: elements_of(netfilter, goes)?,
        elsewhere,
    }))
}

/// The elements to be removed.
fn elements_of(
    netfilter: &Netfilter,
    goes: impl Fn(&Set, &Element) -> bool,
) -> Result<Elements<'static>> {
    let mut all = Vec::new();
    for set in SETS {
        let mut stale = netfilter.elements(TABLE, set).map_err(kernel)?;
        stale.retain(|element| goes(set, element));
        all.push((*set, stale));
    }
    Ok(all)
}

/// The mappings of a publication that lead elsewhere in the same container.
pub(crate) fn elsewhere(netfilter: &Netfilter, publication: &Publication) -> Result<Vec<Mapping>> {
    Ok(survey(netfilter, publication)?.map_or_else(|_taken| Vec::new(), |found| found.elsewhere))
}

/// The mappings on single addresses among elements.
fn single_addresses(elements: &Elements<'_>) -> Vec<Mapping> {
    let of_set = |(set, all): &(&Set, Vec<Element>)| {
        let mut families = Family::BOTH.into_iter();
        let family = families.find(|family| *set == PUBLISH_ADDR.of_family(*family));
        let read = |element: &Element| Some(elements::read(element, true, family?)?.0);
        all.iter().filter_map(read).collect::<Vec<_>>()
    };
    elements.iter().flat_map(of_set).collect()
}

/// Removes the shared claims to the ports of `mappings` that no mapping uses any more. A claim that stays because other
/// writers were faster does no harm: an ADD that needs the port on every address removes it.
pub(crate) fn tidy(netfilter: &Netfilter, mappings: &[Mapping]) -> Result<()> {
    let single = mappings
        .iter()
        .filter(|mapping| mapping.host_ip.one().is_some());
    let single: Vec<_> = single.collect();
    if single.is_empty() {
        return Ok(());
    }
    table::tidy(netfilter, TABLE, || idle_claims(netfilter, &single, &[]))
}

/// The shared claims to the ports of `mappings` that no mapping uses any more once `condemned` is gone.
fn idle_claims(
    netfilter: &Netfilter,
    mappings: &[&Mapping],
    condemned: &[(&Set, Vec<Element>)],
) -> Result<Elements<'static>> {
    let mut idle = Vec::new();
    for family in Family::BOTH {
        let claims = CLAIMS.of_family(family);
        let key = |mapping: &Mapping| elements::claim(mapping, SHARED, family).1;
        let mut wanted: Vec<_> = mappings.iter().copied().map(key).collect();
        wanted.sort_by(|a, b| a.key.cmp(&b.key));
        wanted.dedup();
        let question = |claim| Question::Element(TABLE, claims, claim);
        let questions: Vec<_> = wanted.iter().map(question).collect();
        let found = netfilter.look(&questions).map_err(kernel)?;
        let found = found.iter().filter_map(Answer::element);
        let found = found.filter(|found| found.comment == SHARED);
        let mut shared: Vec<Element> = found.cloned().collect();
        if shared.is_empty() {
            continue;
        }
        let single = PUBLISH_ADDR.of_family(family);
        let goes = |element: &Element| {
            let mut sets = condemned.iter().filter(|(set, _)| *set == single);
            sets.any(|(_, gone)| gone.iter().any(|gone| gone.key == element.key))
        };
        let mut present = netfilter.elements(TABLE, single).map_err(kernel)?;
        present.retain(|element| !goes(element));
        let keys: BTreeSet<_> = present
            .iter()
            .filter_map(|element| elements::read(element, true, family))
            .map(|(mapping, _)| key(&mapping).key)
            .collect();
        shared.retain(|claim| !keys.contains(&claim.key));
        idle.push((claims, shared));
    }
    Ok(idle)
}

fn taken(wanted: &Mapping, element: &Element) -> Failure {
    let owner = table::owner(element).map_or_else(
        || format!("an element {:?} of {TABLE}", element.comment),
        |owner| owner.to_string(),
    );
    Failure::new(
        ErrorCode::INTERNAL,
        format!("host port {wanted} is already published for {owner}"),
    )
    .hint("choose another hostPort or hostIP, or detach that container; `linkspan ports` lists what is published")
}
