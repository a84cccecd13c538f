//! Ports that somebody else has: the dead give them away, the living are waited for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use linkspan_attach::kernel;
use linkspan_attach::owner::Home;
use linkspan_attach::table::{self, Elements, TABLE};
use linkspan_netlink::error::Error;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::elements::{self, SHARED};
use crate::mapping::Mapping;
use crate::native::{Publication, fill};
use crate::sets::{CLAIMS, PUBLISH_ADDR, PUBLISHED, SETS};

/// How long a look at an owner's life may be old. Nothing tells of the end of a namespace.
const LIFE: Duration = Duration::from_millis(500);

/// How often somebody may come between a survey and its transaction.
const ATTEMPTS: usize = 20;

/// Publishes, in one transaction. The kernel decides whether a port is free, so the usual case looks at nothing. Ports of
/// a dead owner, and our own of an earlier ADD, are replaced. Ports of a living one are waited for with nothing locked, as
/// engines may ask for a successor before they let the predecessor go, and refused when `patience` ends. `room` makes room
/// among what other suites have, or returns their refusal. What another
/// interface of the same container has stays there: engines ask for a container's ports on each of its networks.
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
            // Looked at once more after the subscription, so that no change is missed.
            None => changes = Some(Changes::open().map_err(kernel)?),
            Some(changes) => changes.wait(left.min(LIFE)).map_err(kernel)?,
        }
    }
}

/// Publishes; the refusal where a port is taken.
fn place(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
) -> Result<Option<Failure>> {
    let mut batch = Batch::default();
    fill(&mut batch, &publication.by_set(home, &[]));
    match netfilter.commit(batch) {
        Err(err) if err.is(Errno::EEXIST) => settle(netfilter, publication, home),
        done => done.map(|()| None).map_err(kernel),
    }
}

/// What stands in the way of a publication.
#[derive(Debug)]
struct Standing {
    /// Elements that give way.
    condemned: Elements<'static>,
    /// Mappings that lead elsewhere in the same container.
    elsewhere: Vec<Mapping>,
}

/// Publishes beside what is there; the refusal where a port is taken.
fn settle(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
) -> Result<Option<Failure>> {
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let standing = match survey(netfilter, publication)? {
            Ok(standing) => standing,
            Err(taken) => return Ok(Some(taken)),
        };
        let wanted = publication.by_set(home, &standing.elsewhere);
        let done = table::attempt(netfilter, || {
            let mut batch = Batch::default();
            let condemned = table::still(netfilter, &standing.condemned).map_err(kernel)?;
            let mut concerned = publication.mappings.clone();
            concerned.extend(single_addresses(&condemned));
            let idle = idle_claims(netfilter, &concerned, &condemned)?;
            for (set, elements) in condemned.iter().chain(&idle) {
                batch.delete(TABLE, set, elements);
            }
            fill(&mut batch, &wanted);
            Ok(batch)
        })?;
        match done {
            // Somebody came since the survey.
            Err(err) if err.is(Errno::EEXIST) => refused = Some(err),
            done => return done.map(|()| None).map_err(kernel),
        }
    }
    // An element that belongs to no port that anybody publishes: somebody changed the table by hand.
    let refused = refused.unwrap_or_else(|| Error::new("publish", "ports", 0));
    let hint =
        format!("see `nft list {TABLE}`; `linkspan clear` and `linkspan restore` make it anew");
    Err(kernel(refused).hint(hint))
}

/// What gives way and what stays; the refusal where a living owner has a port.
fn survey(
    netfilter: &Netfilter,
    publication: &Publication,
) -> Result<std::result::Result<Standing, Failure>> {
    let own = publication.owner.line();
    let mut condemned = BTreeSet::from([own.clone()]);
    let mut elsewhere = Vec::new();
    for (set, by_addr, six) in PUBLISHED {
        for element in netfilter.elements(TABLE, set).map_err(kernel)? {
            let Some((present, _)) = elements::read(&element, by_addr, six) else {
                continue;
            };
            let Some(wanted) = publication.overlapping(&present) else {
                continue;
            };
            let gone = || Home::parse(&element.record).is_some_and(|home| home.is_gone());
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
            // A part of a publication that somebody took apart: no mapping that is there needs it.
            || element.comment != SHARED && wanted.contains(&(set.name, element.key.clone()))
    };
    Ok(Ok(Standing {
        condemned: elements_of(netfilter, goes)?,
        elsewhere,
    }))
}

/// The elements that go.
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
        let six = *set == PUBLISH_ADDR.v6;
        let is_single = six || *set == PUBLISH_ADDR.v4;
        let read = |element: &Element| Some(elements::read(element, true, six)?.0);
        let single = all.iter().filter(|_| is_single).filter_map(read);
        single.collect::<Vec<_>>()
    };
    elements.iter().flat_map(of_set).collect()
}

/// The shared claims to the ports of `mappings` that nobody shares any more once `condemned` is gone.
pub(crate) fn idle_claims(
    netfilter: &Netfilter,
    mappings: &[Mapping],
    condemned: &[(&Set, Vec<Element>)],
) -> Result<Elements<'static>> {
    let mut idle = Vec::new();
    for six in [false, true] {
        let claims = CLAIMS.of_family(six);
        let mut shared = Vec::new();
        for mapping in mappings {
            let (_, claim) = elements::claim(mapping, six);
            let found = netfilter.element(TABLE, claims, &claim).map_err(kernel)?;
            let found = found.filter(|found| found.comment == SHARED && !shared.contains(found));
            shared.extend(found);
        }
        if shared.is_empty() {
            continue;
        }
        let single = PUBLISH_ADDR.of_family(six);
        let goes = |element: &Element| {
            let mut sets = condemned.iter().filter(|(set, _)| *set == single);
            sets.any(|(_, gone)| gone.iter().any(|gone| gone.key == element.key))
        };
        let mut present = netfilter.elements(TABLE, single).map_err(kernel)?;
        present.retain(|element| !goes(element));
        let keys: BTreeSet<_> = present
            .iter()
            .filter_map(|element| elements::read(element, true, six))
            .map(|(mapping, _)| elements::claim(&mapping, six).1.key)
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
