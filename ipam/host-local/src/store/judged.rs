//! The state of every lease, read without the lock. Reading all of them takes half a second in a pool of 65,000, and no
//! DEL may wait for that. A lease of the dead is read once more, under the lock, before it is removed.

use std::net::IpAddr;
use std::path::Path;

use linkspan_owner::boot::BootId;
use linkspan_owner::life::{Judge, Life};

use super::beside;
use super::error::Error;
use super::index::Index;
use super::lease::Lease;
use super::look::text;
use super::record::Records;
use super::survey::{Known, Survey};
use crate::span::Span;

/// The state of the leases at one time.
#[derive(Debug)]
pub(crate) enum Judged {
    /// Each lease with the life of its holder.
    Leases(Vec<(Lease, Life)>),
    /// The pools without a free address and without a dead holder, with their counts.
    Told(Vec<(String, Census)>),
}

/// The addresses of a pool that have leases, counted by the state of the holder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) live: usize,
    pub(crate) unknown: usize,
    pub(crate) dead: usize,
}

impl Judged {
    pub(crate) fn new(dir: &Path) -> Result<Self, Error> {
        let survey = Survey::new(dir, &Records::new(beside(dir)))?;
        let judge = Judge::new(BootId::current());
        let judged = survey.leases.into_iter().map(|known| {
            let life = known.life(&judge);
            let Known { lease, .. } = known;
            (lease, life)
        });
        Ok(Self::Leases(judged.collect()))
    }

    /// Whether it has the pool `spans`.
    pub(crate) fn knows(&self, spans: &[Span]) -> bool {
        match self {
            Self::Leases(_) => true,
            Self::Told(_) => self.told(spans).is_some(),
        }
    }

    /// The leases in the pool `spans`, counted.
    pub(crate) fn census(&self, spans: &[Span]) -> Census {
        if let Some(census) = self.told(spans) {
            return census;
        }
        let mut census = Census::default();
        for (_, life) in self.within(spans) {
            match life {
                Life::Alive => census.live += 1,
                Life::Unknown => census.unknown += 1,
                Life::Gone => census.dead += 1,
            }
        }
        census
    }

    /// The leases in `spans` whose holders are gone.
    pub(crate) fn dead(&self, spans: &[Span]) -> impl Iterator<Item = &Lease> {
        let dead = self.within(spans).filter(|(_, life)| *life == Life::Gone);
        dead.map(|(lease, _)| lease)
    }

    /// An address in `spans` that had no lease.
    pub(crate) fn gap(&self, spans: &[Span]) -> Option<IpAddr> {
        let Self::Leases(leases) = self else {
            return None;
        };
        let mut taken = Index::of(leases.iter().map(|(lease, _)| lease.ip));
        // The index is in memory, so nothing can fail.
        let free = |span: &Span| taken.first_free(*span).ok().flatten();
        spans.iter().find_map(free)
    }

    fn told(&self, spans: &[Span]) -> Option<Census> {
        let Self::Told(pools) = self else {
            return None;
        };
        let asked = text(spans);
        let told = pools.iter().find(|(pool, _)| *pool == asked);
        told.map(|(_, census)| *census)
    }

    fn leases(&self) -> &[(Lease, Life)] {
        match self {
            Self::Leases(leases) => leases,
            Self::Told(_) => &[],
        }
    }

    fn within(&self, spans: &[Span]) -> impl Iterator<Item = &(Lease, Life)> {
        let inside = |ip| spans.iter().any(|span| span.contains(ip));
        self.leases()
            .iter()
            .filter(move |(lease, _)| inside(lease.ip))
    }
}
