//! Changes of the store: giving addresses and taking them back. Each begins by breaking the seal, and ends in
//! [`Store::commit`].

use std::collections::HashSet;
use std::net::IpAddr;

use linkspan_owner::boot::is_past;
use linkspan_owner::home::Home;
use linkspan_owner::life::{Judge, Life};
use linkspan_protocol::ident::AttachmentId;

use super::error::Error;
use super::judged::Judged;
use super::lease::{self, Draft, Holder, Lease};
use super::record::{Grant, Record};
use super::survey::Known;
use super::{Held, Store};
use crate::span::Span;

/// The most addresses of the dead that are taken back at once, while others wait for the lock.
const AT_ONCE: usize = 256;

impl Store {
    /// Gives `ips` to `owner`, all or none. False where one of them turns out to be taken.
    pub(crate) fn give(
        &mut self,
        owner: &AttachmentId,
        held: &Held,
        ips: &[IpAddr],
        home: Option<&Home>,
    ) -> Result<bool, Error> {
        self.begin()?;
        let draft = Draft::new(&self.dir, owner)?;
        let mut record = held.record.clone();
        record.push(Grant {
            boot: self.boot,
            stamp: draft.stamp(&self.dir)?,
            ips: ips.to_owned(),
            home: home.cloned(),
        });
        self.remember(owner, &record)?;
        let mut given = Vec::new();
        let mut published = Ok(true);
        for ip in ips {
            published = draft.publish(&self.dir, *ip);
            if !matches!(published, Ok(true)) {
                break;
            }
            given.push(*ip);
            self.mark(*ip, true);
        }
        draft.finish()?;
        if !matches!(published, Ok(true)) {
            for ip in given {
                self.free(ip)?;
            }
            self.remember(owner, &held.record)?;
            self.fresh = false;
        }
        published
    }

    /// Takes back the owner's leases of an earlier boot, whose users are gone.
    pub(crate) fn release_past(&mut self, owner: &AttachmentId, held: Held) -> Result<Held, Error> {
        let now = self.boot;
        if !held.record.iter().any(|grant| is_past(grant.boot, now)) {
            return Ok(held);
        }
        self.begin()?;
        for grant in held.record.iter().filter(|grant| is_past(grant.boot, now)) {
            for ip in &grant.ips {
                let lease = Lease::read(&self.dir, *ip)?;
                if lease.is_some_and(|lease| grant.covers(*ip, lease.stamp)) {
                    self.free(*ip)?;
                }
            }
        }
        let held = self.held(owner)?;
        self.remember(owner, &held.record)?;
        Ok(held)
    }

    /// Takes back every address of `owner`.
    ///
    /// A container with leases that name an interface keeps the older ones, which may be another interface's.
    pub(crate) fn release(&mut self, owner: &AttachmentId) -> Result<(), Error> {
        let held = self.held(owner)?;
        let exact = !held.exact.is_empty();
        let ips = if exact { held.exact } else { held.legacy };
        if !ips.is_empty() {
            self.begin()?;
        }
        for ip in &ips {
            self.free(*ip)?;
            self.index.forget_legacy(u32::from(!exact));
        }
        self.remember(owner, &Record::new())
    }

    /// Takes `ips` back from `owner`, except those that another attachment has by now.
    pub(crate) fn take_back(&mut self, owner: &AttachmentId, ips: &[IpAddr]) -> Result<(), Error> {
        self.begin()?;
        let held = self.held(owner)?;
        for ip in held.exact.iter().filter(|ip| ips.contains(ip)) {
            self.free(*ip)?;
        }
        let left = self.held(owner)?;
        self.remember(owner, &left.record)
    }

    /// Takes back addresses in `spans` whose holders are dead by `judged`, and whose leases are still the same.
    pub(crate) fn reclaim(&mut self, judged: &Judged, spans: &[Span]) -> Result<(), Error> {
        let mut freed = 0;
        for lease in judged.dead(spans) {
            if freed == AT_ONCE {
                break;
            }
            if self.lease(lease.ip)?.as_ref() != Some(lease) {
                continue;
            }
            if freed == 0 {
                self.begin()?;
            }
            self.forget(lease)?;
            freed += 1;
        }
        Ok(())
    }

    /// Takes `ip` back where its holder is gone.
    pub(crate) fn reclaim_one(&mut self, ip: IpAddr) -> Result<(), Error> {
        let Some(lease) = self.lease(ip)? else {
            return Ok(());
        };
        let known = Known::of(lease, &self.records)?;
        if known.life(&Judge::new(self.boot)) == Life::Gone {
            self.begin()?;
            self.forget(&known.lease)?;
        }
        Ok(())
    }

    /// Rebuilds the index if it marks an address in `spans` as taken that had no lease in `judged` and has none now.
    /// Such a lease was removed without the lock, at the moment at which another process held it.
    pub(crate) fn mend(&mut self, judged: &Judged, spans: &[Span]) -> Result<(), Error> {
        match judged.gap(spans) {
            Some(ip) if self.lease(ip)?.is_none() => self.rebuild().map(drop),
            _ => Ok(()),
        }
    }

    /// Takes back the addresses of attachments that are not `valid`, and with `heal` also leases that a crash or an
    /// earlier boot left.
    pub(crate) fn collect(
        &mut self,
        valid: &HashSet<AttachmentId>,
        heal: bool,
    ) -> Result<(), Error> {
        let containers: HashSet<_> = valid.iter().map(|id| &id.container_id).collect();
        for known in self.rebuild()?.leases {
            let past = || {
                known
                    .grant
                    .as_ref()
                    .is_some_and(|grant| is_past(grant.boot, self.boot))
            };
            let kept = match &known.lease.holder {
                Holder::Attachment(owner) => valid.contains(owner) && !(heal && past()),
                Holder::Container(id) => containers.contains(id),
                Holder::Nobody => !heal,
                Holder::Obstacle => true,
            };
            if !kept {
                self.forget(&known.lease)?;
            }
        }
        Ok(())
    }

    /// Removes a lease and its record.
    fn forget(&mut self, lease: &Lease) -> Result<(), Error> {
        self.free(lease.ip)?;
        match &lease.holder {
            Holder::Attachment(owner) => {
                let mut record = self.records.read(owner)?;
                for grant in &mut record {
                    grant.ips.retain(|ip| *ip != lease.ip);
                }
                record.retain(|grant| !grant.ips.is_empty());
                self.remember(owner, &record)
            }
            Holder::Container(_) => {
                self.index.forget_legacy(1);
                Ok(())
            }
            Holder::Nobody | Holder::Obstacle => Ok(()),
        }
    }

    /// Writes the record. Where that fails, the attachment is looked for among all leases, and the store stays
    /// unsealed.
    fn remember(&mut self, owner: &AttachmentId, record: &Record) -> Result<(), Error> {
        self.fresh &= self.records.write(owner, record)?;
        Ok(())
    }

    fn free(&mut self, ip: IpAddr) -> Result<(), Error> {
        lease::remove(&self.dir, ip)?;
        self.mark(ip, false);
        Ok(())
    }
}
