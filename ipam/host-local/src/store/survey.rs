//! All leases at once, with the record of each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use linkspan_owner::boot::BootId;
use linkspan_owner::life::{Judge, Life};
use linkspan_protocol::ident::AttachmentId;

use super::error::Error;
use super::lease::{self, Holder, Lease};
use super::record::{Grant, Record, Records};

/// A lease with its grant, where that is known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) lease: Lease,
    pub(crate) grant: Option<Grant>,
}

impl Known {
    /// `lease` with the grant of it in `record`, which is the holder's.
    fn new(lease: Lease, record: &Record) -> Self {
        let covering = record
            .iter()
            .find(|grant| grant.covers(lease.ip, lease.stamp));
        let grant = covering.cloned();
        Self { lease, grant }
    }

    /// One lease with its record.
    pub(crate) fn of(lease: Lease, records: &Records) -> Result<Self, Error> {
        let record = match &lease.holder {
            Holder::Attachment(owner) => records.read(owner)?,
            _ => Record::new(),
        };
        Ok(Self::new(lease, &record))
    }

    pub(crate) fn life(&self, judge: &Judge) -> Life {
        match (&self.lease.holder, &self.grant) {
            (Holder::Nobody, _) => Life::Gone,
            (Holder::Attachment(_), Some(grant)) => judge.seen(grant.boot, grant.home.as_ref()),
            _ => Life::Unknown,
        }
    }
}

/// Every entry of a lease directory.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) leases: Vec<Known>,
    /// The records of attachments that have leases.
    records: HashMap<AttachmentId, Record>,
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
            let known = match &lease.holder {
                Holder::Attachment(owner) => {
                    let record = survey.record(owner, records)?;
                    Known::new(lease, record)
                }
                _ => Known { lease, grant: None },
            };
            survey.leases.push(known);
        }
        Ok(survey)
    }

    fn record(&mut self, owner: &AttachmentId, records: &Records) -> Result<&Record, Error> {
        match self.records.entry(owner.clone()) {
            Entry::Occupied(read) => Ok(read.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(records.read(owner)?)),
        }
    }

    /// Makes the records agree with the leases, and returns whether all fitted. A lease without a grant gets one of
    /// this boot.
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
}

/// Whether two records are equal, in any order.
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
