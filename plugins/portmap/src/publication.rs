//! The elements that one attachment has in our own table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linkspan_filter::table::{self, TABLE};
use linkspan_nftables::Batch;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::Owner;
use linkspan_owner::home::Home;
use linkspan_protocol::family::Family;

use crate::elements::{self, SHARED, Target, Translate};
use crate::flows;
use crate::mapping::Mapping;
use crate::sets::{HAIRPIN, PUBLISHED, SETS, SOURCES};

/// The ports of one attachment.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) owner: Owner,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) targets: Vec<Target>,
    pub(crate) translate: Translate,
}

impl Publication {
    /// Every element with its set and its purpose, except mappings that the container has elsewhere. The mapping itself
    /// comes before the elements that it needs. An element that several mappings need is there once.
    pub(crate) fn elements(&self, elsewhere: &[Mapping]) -> Vec<(&'static Set, Element, String)> {
        let owner = self.owner.line();
        let mut all = Vec::new();
        for target in &self.targets {
            let ip = target.address.ip();
            let family = Family::of(ip);
            let wanted = self.mappings.iter();
            for mapping in wanted.filter(|mapping| !mapping.is_one_of(elsewhere, family)) {
                let own = elements::elements(mapping, target, self.translate, &owner);
                let what = format!("host port {mapping} to {ip}");
                all.extend(own.into_iter().map(|(set, one)| (set, one, what.clone())));
            }
            let sources = elements::sources(target, self.translate);
            all.extend(sources.map(|(set, one)| (set, one, format!("sources of {ip}"))));
        }
        let mut known = BTreeSet::new();
        all.retain(|(set, element, _)| known.insert((set.name, element.key.clone())));
        for (_, element, _) in &mut all {
            if element.comment.is_empty() {
                element.comment.clone_from(&owner);
            }
        }
        all
    }

    /// Each mapping with each address of the container.
    pub(crate) fn led(&self) -> Vec<(Mapping, IpAddr)> {
        let addresses = self.targets.iter().map(|target| target.address);
        flows::led(&self.mappings, &addresses.collect::<Vec<_>>())
    }

    /// The elements of each set, to be added. The mappings alone carry the attachment's namespace.
    pub(crate) fn by_set(
        &self,
        home: Option<&Home>,
        elsewhere: &[Mapping],
    ) -> Vec<(&'static Set, Vec<Element>)> {
        let record = home.map(Home::to_bytes).unwrap_or_default();
        let supplement = home.map(Home::supplement).unwrap_or_default();
        let mut sets: Vec<(&'static Set, Vec<Element>)> =
            SETS.iter().map(|set| (*set, Vec::new())).collect();
        for (set, mut element, _) in self.elements(elsewhere) {
            if PUBLISHED.iter().any(|map| map.set == set) {
                element.record.clone_from(&record);
                element.supplement.clone_from(&supplement);
            }
            if let Some((_, elements)) = sets.iter_mut().find(|(of, _)| *of == set) {
                elements.push(element);
            }
        }
        sets.retain(|(_, elements)| !elements.is_empty());
        sets
    }

    /// The keys of the elements, each with the name of its set.
    pub(crate) fn keys(&self, elsewhere: &[Mapping]) -> BTreeSet<(&'static str, Fields)> {
        let all = self.elements(elsewhere).into_iter();
        all.map(|(set, element, _)| (set.name, element.key))
            .collect()
    }

    /// Whether the element has an address of this publication, which IPAM has given to us by now.
    pub(crate) fn is_about(&self, set: &Set, element: &Element) -> bool {
        let sets = [HAIRPIN, SOURCES];
        self.targets.iter().any(|target| {
            let ip = target.address.ip();
            sets.iter().any(|pair| pair.of(ip) == set)
                && element.key.read().ip(Family::of(ip)) == Some(ip)
        })
    }

    pub(crate) fn is_of_the_container_of(&self, element: &Element) -> bool {
        table::owner(element).is_some_and(|owner| owner.container() == self.owner.container())
    }

    /// The mapping of this publication that cannot stand beside `present`.
    pub(crate) fn overlapping(&self, present: &Mapping) -> Option<&Mapping> {
        self.mappings.iter().find(|own| own.meets(present))
    }
}

/// Adds elements by their sets. Elements that mappings share may be there already; any other that is makes the kernel
/// refuse the whole batch (`EEXIST`).
pub(crate) fn fill(batch: &mut Batch, elements: &[(&'static Set, Vec<Element>)]) {
    for (set, elements) in elements {
        let is_shared = |element: &Element| element.comment == SHARED;
        let (shared, own): (Vec<_>, Vec<_>) = elements.iter().cloned().partition(is_shared);
        batch.add(TABLE, set, &own, true);
        batch.add(TABLE, set, &shared, false);
    }
}
