//! All leases at once, with what is remembered of each: for whoever must look at everything.

use std::collections::HashMap;
use std::path::Path;

use linkspan_protocol::ident::AttachmentId;

use super::error::Error;
use super::lease::{self, Holder, Lease};
use super::life::{BootId, Judge, Life};
use super::record::{Grant, Record, Records};
use crate::span::Span;

/// A lease, and the grant that it comes from where that is known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) lease: Lease,
    pub(crate) grant: Option<Grant>,
}

impl Known {
    pub(crate) fn life(&self, judge: &Judge) -> Life {
        match (&self.lease.holder, &self.grant) {
            (Holder::Nobody, _) => Life::Gone,
            (Holder::Attachment(_), Some(grant)) => judge.life(grant.boot, grant.home.as_ref()),
            _ => Life::Unknown,
        }
    }
}

/// Every entry of a lease directory.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) leases: Vec<Known>,
    /// What is remembered of those who have leases.
    records: HashMap<AttachmentId, Record>,
}

/// What became of the addresses of a pool.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) live: usize,
    pub(crate) unknown: usize,
    pub(crate) dead: usize,
}

impl Survey {
    pub(crate) fn new(dir: &Path, records: &Records) -> Result<Self, Error> {
        let mut survey = Self {
            leases: Vec::new(),
            records: HashMap::new(),
        };
        for ip in lease::names(dir)? {
            let Some(lease) = Lease::read(dir, ip)? else {
                continue;
            };
            let grant = match &lease.holder {
                Holder::Attachment(owner) => survey.grant(owner, &lease, records)?,
                _ => None,
            };
            survey.leases.push(Known { lease, grant });
        }
        Ok(survey)
    }

    fn grant(
        &mut self,
        owner: &AttachmentId,
        lease: &Lease,
        records: &Records,
    ) -> Result<Option<Grant>, Error> {
        if !self.records.contains_key(owner) {
            self.records.insert(owner.clone(), records.read(owner)?);
        }
        let mut grants = self.records.get(owner).into_iter().flatten();
        let covering = grants.find(|grant| grant.covers(lease.ip, lease.stamp));
        Ok(covering.cloned())
    }

    /// Makes the records say what the leases say, and tells whether they could. A lease that nothing is known of was
    /// at least seen in this boot.
    pub(crate) fn correct(
        &mut self,
        records: &Records,
        boot: Option<BootId>,
    ) -> Result<bool, Error> {
        let mut correct: HashMap<&AttachmentId, Record> = HashMap::new();
        for known in &mut self.leases {
            let Lease { ip, holder, stamp } = &known.lease;
            let Holder::Attachment(owner) = holder else {
                continue;
            };
            let grant = known.grant.get_or_insert_with(|| Grant {
                boot,
                stamp: *stamp,
                ips: Vec::new(),
                home: None,
            });
            let record = correct.entry(owner).or_default();
            match record.iter_mut().find(|known| known.stamp == *stamp) {
                Some(known) => known.ips.push(*ip),
                None => record.push(Grant {
                    ips: vec![*ip],
                    ..grant.clone()
                }),
            }
        }
        let mut complete = true;
        for (owner, record) in &correct {
            if self
                .records
                .get(*owner)
                .is_none_or(|known| !same(known, record))
            {
                complete &= records.write(owner, record)?;
            }
        }
        let owners: Vec<_> = self.records.keys().collect();
        records.retain(&owners)?;
        Ok(complete)
    }

    /// How many leases name a container alone.
    pub(crate) fn legacy(&self) -> u32 {
        let containers = self.leases.iter().filter(|known| {
            let holder = &known.lease.holder;
            matches!(holder, Holder::Container(_))
        });
        u32::try_from(containers.count()).unwrap_or(u32::MAX)
    }

    /// The leases in `spans`, counted.
    pub(crate) fn census(&self, spans: &[Span], judge: &Judge) -> Census {
        let mut census = Census::default();
        for known in self.within(spans) {
            match known.life(judge) {
                Life::Live => census.live += 1,
                Life::Unknown => census.unknown += 1,
                Life::Past | Life::Gone => census.dead += 1,
            }
        }
        census
    }

    /// The leases in `spans`.
    pub(crate) fn within(&self, spans: &[Span]) -> impl Iterator<Item = &Known> {
        let inside = |ip| spans.iter().any(|span| span.contains(ip));
        self.leases
            .iter()
            .filter(move |known| inside(known.lease.ip))
    }
}

/// Whether two records say the same, in whatever order.
fn same(one: &Record, other: &Record) -> bool {
    if one == other {
        return true;
    }
    let sorted = |record: &Record| {
        let mut grants = record.clone();
        for grant in &mut grants {
            grant.ips.sort_unstable();
        }
        grants.sort_by_key(|grant| grant.stamp.ino);
        grants
    };
    sorted(one) == sorted(other)
}
