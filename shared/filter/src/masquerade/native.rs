//! Masquerade in our own table: a zone for each network and family, which its first attachment creates.

use linkspan_netlink::error::Error;
use linkspan_nftables::look::Question;
use linkspan_nftables::ruleset::{Element, Set, Table};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_owner::{Owner, Stale, Subject};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::IpConfig;
use nix::errno::Errno;

use super::holder::{Holder, Ingress};
use super::rules::{GROUPED, NAMED, PART, Sets};
use super::zone::{Change, Zone, read};
use crate::kernel;
use crate::table::{self, Elements, Guard, State, TABLE};

/// The zones that an attachment needs.
#[derive(Debug)]
pub(super) struct Need {
    owner: Owner,
    zones: Vec<Zone>,
}

impl Need {
    pub(super) fn of(
        subject: Subject<'_>,
        ingress: &Ingress,
        ips: &[IpConfig],
        except: &[Cidr],
    ) -> Self {
        let owner = subject.owner();
        let zone = |ip: &IpConfig| Zone::of(ingress, ip.address, except, &owner);
        Self {
            zones: ips.iter().map(zone).collect(),
            owner,
        }
    }
}

/// The reason why our own table is unusable.
#[derive(Debug)]
pub(super) enum Unable {
    /// The kernel has no nf_tables.
    Absent,
    /// The kernel lacks a part of nf_tables.
    Lacking(Error),
}

/// Masquerades the zones of `need`. If an earlier attachment has created them, one look suffices.
pub(super) fn apply(need: Need, undo: &mut Undo) -> Result<std::result::Result<(), Unable>> {
    let netfilter = match Netfilter::open() {
        Err(err) if table::is_absent(&err) => return Ok(Err(Unable::Absent)),
        opened => opened.map_err(kernel)?,
    };
    match look(&netfilter, &need) {
        Err(err) if table::is_absent(&err) => return Ok(Err(Unable::Absent)),
        Err(err) => return Err(kernel(err)),
        Ok((State::Whole, true)) => return Ok(Ok(())),
        Ok((State::Whole, false)) => {}
        Ok(_) => {
            if let Some(err) = table::make(&netfilter, &PART)? {
                return Ok(Err(Unable::Lacking(err)));
            }
        }
    }
    let settled = settle(&netfilter, &need);
    // Uses a new connection, since unread answers may be left in this one.
    undo.push_unless_refused(settled, "remove masquerade", move || {
        table::open()?.map_or(Ok(()), |netfilter| remove(&netfilter, &need.owner))
    })
    .map(Ok)
}

/// Returns the state of the part, and whether every zone exists.
fn look(netfilter: &Netfilter, need: &Need) -> std::result::Result<(State, bool), Error> {
    let points: Vec<_> = need
        .zones
        .iter()
        .map(|zone| Zone::point(&zone.ingress, zone.subnet.network()))
        .collect();
    let questions: Vec<_> = points
        .iter()
        .map(|(set, point)| Question::Element(TABLE, set, point))
        .collect();
    let seen = table::see(netfilter, &PART, &questions)?;
    let served = need.zones.iter().zip(&seen.answers).all(|(zone, answer)| {
        let found = answer.element();
        found.is_some_and(|found| zone.is_found(found, &need.owner))
    });
    Ok((seen.state, served))
}

fn settle(netfilter: &Netfilter, need: &Need) -> Result<()> {
    let taken = [Errno::EEXIST];
    table::insist(netfilter, &taken, || plan(netfilter, need))?.map_err(kernel)
}

/// The changes that create every needed zone.
fn plan(netfilter: &Netfilter, need: &Need) -> Result<(Batch, Guard)> {
    let (mut batch, mut guard) = (Batch::default(), Guard::Values);
    let mut added: Vec<Zone> = Vec::new();
    for wanted in &need.zones {
        let family = Family::of(wanted.subnet.ip());
        let sets = wanted.ingress.sets();
        let (mut present, strays) = survey(netfilter, sets, family).map_err(kernel)?;
        present.extend(added.iter().cloned());
        let is_near =
            |zone: &Zone| zone.ingress == wanted.ingress && Family::of(zone.subnet.ip()) == family;
        present.retain(is_near);
        let Some(Change { remove, add }) = wanted.settle(&present, &need.owner) else {
            continue;
        };
        // The value of a removed zone does not tell its holder.
        if !remove.is_empty() {
            guard = Guard::Generation;
        }
        if !added.iter().any(is_near) {
            batch.take(TABLE, sets.except.of_family(family), &strays);
        }
        for zone in &remove {
            step(&mut batch, zone, Batch::delete);
        }
        step(&mut batch, &add, insert);
        added.retain(|zone| !remove.contains(zone));
        added.push(add);
    }
    Ok((batch, guard))
}

fn step(batch: &mut Batch, zone: &Zone, act: fn(&mut Batch, Table, &Set, &[Element])) {
    let (set, source) = zone.source();
    act(batch, TABLE, set, std::slice::from_ref(&source));
    let (set, exceptions) = zone.exceptions();
    act(batch, TABLE, set, &exceptions);
}

fn insert(batch: &mut Batch, table: Table, set: &Set, elements: &[Element]) {
    batch.add(table, set, elements, true);
}

fn zones(
    netfilter: &Netfilter,
    sets: Sets,
    family: Family,
) -> std::result::Result<Vec<Zone>, Error> {
    let sources = netfilter.elements(TABLE, sets.sources.of_family(family))?;
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let except = netfilter.elements(TABLE, sets.except.of_family(family))?;
    Ok(read(sets, family, &sources, &except))
}

/// The zones, and stray exceptions without a zone, whose zone was taken apart.
fn survey(
    netfilter: &Netfilter,
    sets: Sets,
    family: Family,
) -> std::result::Result<(Vec<Zone>, Vec<Element>), Error> {
    let sources = netfilter.elements(TABLE, sets.sources.of_family(family))?;
    let mut except = netfilter.elements(TABLE, sets.except.of_family(family))?;
    let zones = read(sets, family, &sources, &except);
    let known: Vec<_> = zones.iter().flat_map(|zone| zone.exceptions().1).collect();
    except.retain(|found| !known.iter().any(|known| known.key == found.key));
    Ok((zones, except))
}

fn all_zones(netfilter: &Netfilter) -> std::result::Result<Vec<Zone>, Error> {
    let mut all = Vec::new();
    for sets in [NAMED, GROUPED] {
        for family in Family::BOTH {
            all.extend(zones(netfilter, sets, family)?);
        }
    }
    Ok(all)
}

/// Removes the zones held by the attachment alone. Zones of its network stay.
pub(super) fn remove(netfilter: &Netfilter, owner: &Owner) -> Result<()> {
    let own = Holder::Pod(owner.clone());
    remove_zones(netfilter, |zone| zone.holder == own)
}

fn remove_zones(netfilter: &Netfilter, condemned: impl Fn(&Zone) -> bool) -> Result<()> {
    table::remove_chosen(netfilter, TABLE, || {
        let all = all_zones(netfilter).map_err(kernel)?;
        let condemned = all.iter().filter(|zone| condemned(zone));
        Ok(condemned.flat_map(elements).collect())
    })
}

fn elements(zone: &Zone) -> Elements<'static> {
    let (set, source) = zone.source();
    vec![(set, vec![source]), zone.exceptions()]
}

/// Removes the zones of stale attachments. If no attachment is valid, also removes the network from shared zones.
pub(super) fn collect(netfilter: &Netfilter, stale: &Stale) -> Result<()> {
    remove_zones(netfilter, |zone| match &zone.holder {
        Holder::Pod(owner) => stale.includes(owner),
        holder => stale.is_everybody() && *holder == Holder::of_network(stale.network()),
    })?;
    if !stale.is_everybody() {
        return Ok(());
    }
    table::transact(netfilter, || {
        let mut batch = Batch::default();
        for zone in all_zones(netfilter).map_err(kernel)? {
            let Holder::Networks(networks) = &zone.holder else {
                continue;
            };
            let mut networks = networks.clone();
            if networks.remove(stale.network()) && !networks.is_empty() {
                step(&mut batch, &zone, Batch::delete);
                let holder = Holder::Networks(networks);
                step(&mut batch, &Zone { holder, ..zone }, insert);
            }
        }
        Ok(batch)
    })
}

/// Verifies that every address is masqueraded, except towards its exceptions.
pub(super) fn verify(netfilter: &Netfilter, need: &Need) -> Result<()> {
    table::verify(netfilter, &PART)?;
    for wanted in &need.zones {
        let family = Family::of(wanted.subnet.ip());
        let all = zones(netfilter, wanted.ingress.sets(), family).map_err(kernel)?;
        if !all.iter().any(|zone| zone.serves(wanted, &need.owner)) {
            let what = format!("masquerade of {} in {TABLE}", wanted.subnet);
            let found = all.iter().find(|zone| zone.subnet == wanted.subnet);
            let found = found.map_or("none".to_owned(), |zone| format!("one of {}", zone.holder));
            return Err(mismatch(what, "one of the network", &found)
                .hint("`linkspan restore` puts back what is missing"));
        }
    }
    Ok(())
}
