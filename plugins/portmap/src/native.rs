//! Published ports in our own table: conflicts, changes, comparison.

use std::collections::BTreeSet;

use linkspan_attach::kernel;
use linkspan_attach::owner::{Home, Owner};
use linkspan_attach::table::{self, TABLE};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::elements::{self, Target, Translate};
use crate::mapping::Mapping;
use crate::rules::{HAIRPIN, PART, PUBLISH_ADDR, PUBLISHED, SETS, SOURCES};

/// What one attachment publishes.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) owner: Owner,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) targets: Vec<Target>,
    pub(crate) translate: Translate,
}

impl Publication {
    /// Every element with its set, and what it is for, but for what the container has elsewhere; the mapping itself comes
    /// before what it needs.
    fn elements(&self, elsewhere: &[Mapping]) -> Vec<(&'static Set, Element, String)> {
        let mut all = Vec::new();
        for target in &self.targets {
            let ip = target.address.ip();
            let six = ip.is_ipv6();
            let wanted = self.mappings.iter();
            for mapping in wanted.filter(|mapping| !mapping.is_one_of(elsewhere, six)) {
                let own = elements::elements(mapping, target, self.translate);
                let what = format!("host port {mapping} to {ip}");
                all.extend(own.into_iter().map(|(set, one)| (set, one, what.clone())));
            }
            let sources = elements::sources(target, self.translate);
            all.extend(sources.map(|(set, one)| (set, one, format!("sources of {ip}"))));
        }
        for (_, element, _) in &mut all {
            element.comment = self.owner.line();
        }
        all
    }

    /// The elements of each set, to be added. Where the attachment lives is kept with the mappings alone.
    fn by_set(
        &self,
        home: Option<&Home>,
        elsewhere: &[Mapping],
    ) -> Vec<(&'static Set, Vec<Element>)> {
        let record = home.map(Home::to_bytes).unwrap_or_default();
        let mut sets: Vec<(&'static Set, Vec<Element>)> =
            SETS.iter().map(|set| (*set, Vec::new())).collect();
        for (set, mut element, _) in self.elements(elsewhere) {
            if PUBLISHED.iter().any(|(published, ..)| *published == set) {
                element.record.clone_from(&record);
            }
            if let Some((_, elements)) = sets.iter_mut().find(|(of, _)| *of == set) {
                elements.push(element);
            }
        }
        sets.retain(|(_, elements)| !elements.is_empty());
        sets
    }

    /// Whether the element is about an address of this publication: IPAM says that it is ours now.
    fn is_about(&self, set: &Set, element: &Element) -> bool {
        let sets = [HAIRPIN, SOURCES];
        self.targets.iter().any(|target| {
            let ip = target.address.ip();
            sets.iter().any(|pair| pair.of(ip) == set)
                && element.key.read().ip(ip.is_ipv6()) == Some(ip)
        })
    }

    fn names_an_address(&self) -> bool {
        self.mappings
            .iter()
            .any(|mapping| mapping.host_ip.one().is_some())
    }

    fn is_of_the_container_of(&self, element: &Element) -> bool {
        table::owner(element).is_some_and(|owner| owner.container() == self.owner.container())
    }

    /// The mapping of this publication that cannot stand beside `present`.
    fn overlapping(&self, present: &Mapping) -> Option<&Mapping> {
        let clash = |own: &&Mapping| {
            (own.protocol, own.host_port) == (present.protocol, present.host_port)
                && own.host_ip.overlaps(present.host_ip)
        };
        self.mappings.iter().find(clash)
    }
}

/// Publishes, in one transaction. Ports that a live attachment of another owner has are refused; those of a dead one, and
/// our own of an earlier ADD, are replaced. What another interface of the same container has stays there: engines ask for
/// a container's ports on each of its networks.
pub(crate) fn publish(
    netfilter: &Netfilter,
    publication: &Publication,
    home: Option<&Home>,
) -> Result<()> {
    if simply(netfilter, publication, &publication.by_set(home, &[]))? {
        return Ok(());
    }
    ensure(netfilter)?;
    table::transact(netfilter, || {
        let Standing {
            condemned,
            elsewhere,
        } = standing(netfilter, publication)?;
        let mut batch = Batch::default();
        for set in SETS {
            let mut stale = netfilter.elements(TABLE, set).map_err(kernel)?;
            stale.retain(|element| {
                condemned.contains(&element.comment) || publication.is_about(set, element)
            });
            batch.delete(TABLE, set, &stale);
        }
        fill(&mut batch, &publication.by_set(home, &elsewhere));
        Ok(batch)
    })
}

/// The usual case, in which nothing is in the way: false where something may be. Mappings on single addresses are few
/// and cannot be told from the others by their key, so that whoever meets one looks closer.
fn simply(
    netfilter: &Netfilter,
    publication: &Publication,
    elements: &[(&'static Set, Vec<Element>)],
) -> Result<bool> {
    if publication.names_an_address() {
        return Ok(false);
    }
    let added = table::uninterrupted(netfilter, |seen| {
        for set in [PUBLISH_ADDR.v4, PUBLISH_ADDR.v6] {
            if !netfilter.elements(TABLE, set).map_err(kernel)?.is_empty() {
                return Ok(Ok(false));
            }
        }
        let added = table::add(netfilter, &PART, |batch| {
            batch.at(seen);
            fill(batch, elements);
        });
        Ok(added.map(|()| true))
    });
    match added? {
        Err(err) if err.is(Errno::EEXIST) => Ok(false),
        added => added.map_err(kernel),
    }
}

fn ensure(netfilter: &Netfilter) -> Result<()> {
    if netfilter.has_chain(TABLE, "publish").map_err(kernel)? {
        return Ok(());
    }
    table::make(netfilter, &PART).map_err(kernel)
}

fn fill(batch: &mut Batch, elements: &[(&'static Set, Vec<Element>)]) {
    for (set, elements) in elements {
        batch.add(TABLE, set, elements, true);
    }
}

/// What is in the place of a publication.
struct Standing {
    /// The owners, by their lines, whose elements make room: those of our ports that are dead, and ourselves.
    condemned: BTreeSet<String>,
    /// Our mappings that another interface of the same container has.
    elsewhere: Vec<Mapping>,
}

/// Refuses ports that a live attachment of another container has, or that lead elsewhere in this one.
fn standing(netfilter: &Netfilter, publication: &Publication) -> Result<Standing> {
    let own = publication.owner.line();
    let mut standing = Standing {
        condemned: BTreeSet::from([own.clone()]),
        elsewhere: Vec::new(),
    };
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
                standing.condemned.insert(element.comment);
            } else if wanted.equals(&present) && publication.is_of_the_container_of(&element) {
                standing.elsewhere.push(present);
            } else {
                return Err(taken(wanted, &element));
            }
        }
    }
    Ok(standing)
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

/// Withdraws whatever the condemned publish, in one transaction, and tells what it was: the mappings with the
/// containers' addresses.
pub(crate) fn withdraw(
    netfilter: &Netfilter,
    condemned: impl Fn(&Owner) -> bool,
) -> Result<Vec<(Mapping, std::net::IpAddr)>> {
    let mut withdrawn = Vec::new();
    for (set, elements) in table::remove(netfilter, SETS, condemned)? {
        if let Some((_, by_addr, six)) = PUBLISHED.iter().find(|(of, ..)| *of == set) {
            let read = |element| elements::read(element, *by_addr, *six);
            withdrawn.extend(elements.iter().filter_map(read));
        }
    }
    Ok(withdrawn)
}

/// Every promised element is there, leads to the container and is the attachment's own, or another's of the same
/// container; and so are the rules.
pub(crate) fn verify(netfilter: &Netfilter, publication: &Publication) -> Result<()> {
    table::verify(netfilter, &PART)?;
    let verify = |elsewhere: &[Mapping]| {
        let mut elements = publication.elements(elsewhere).into_iter();
        elements.try_for_each(|(set, one, what)| table::verify_element(netfilter, set, &one, &what))
    };
    verify(&[]).or_else(|failure| match standing(netfilter, publication) {
        Ok(standing) if !standing.elsewhere.is_empty() => verify(&standing.elsewhere),
        _ => Err(failure),
    })
}
