//! Getting leases for an attachment: for all requested families, or none.
//!
//! A server may have given an address as soon as a REQUEST leaves. So the offer is in the store before that: the daemon,
//! the call or the plugin may end at any moment, and DEL, GC or the next daemon still gives the address back.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join;
use linkspan_protocol::family::Family;
use tokio::time::Instant;

use super::Daemon;
use crate::answer;
use crate::complain::complain;
use crate::conf::Plan;
use crate::exchange::{Client, blocking, persist};
use crate::lease::Lease4;
use crate::record::Record;
use crate::release;
use crate::six::{self, lease::Lease6};
use crate::store::Store;
use crate::trouble::Trouble;

/// A record that is in the store while its addresses are asked for.
struct Pending<'a> {
    store: &'a Store,
    record: RefCell<Record>,
}

impl Pending<'_> {
    fn set(&self, set: impl FnOnce(&mut Record)) -> Result<(), Trouble> {
        let mut record = self.record.borrow_mut();
        set(&mut record);
        self.store.remember(&record)
    }
}

impl Daemon {
    /// Fills `record`, which has no lease yet, with the lease of each requested family.
    pub(super) async fn acquire(
        &self,
        client: &Client,
        plan: &Plan,
        record: Record,
    ) -> Result<Record, Trouble> {
        let turn = self.leases.turns.acquire().await;
        let _turn = turn.map_err(|_closed| Trouble::Cancelled)?;
        let pending = Pending {
            store: &self.store,
            record: RefCell::new(Record {
                pending: true,
                ..record
            }),
        };
        let four = async {
            if !plan.families.asked.v4 {
                return Ok(None);
            }
            let lease = self.acquire_four(client, plan.timeout, &pending).await;
            lease.map(Some)
        };
        let six = async {
            if !plan.families.asked.v6 {
                return Ok(None);
            }
            let requesting = |offer: Lease6| pending.set(|record| record.six = Some(offer));
            let patience = self.patience(plan.timeout6);
            six::acquire(client, patience, requesting).await.map(Some)
        };
        let (four, six) = join(four, six).await;
        let mut record = pending.record.into_inner();
        let offered = (record.four.take(), record.six.take());
        let partial = plan.families.partial;
        let ifname = &client.spot.ifname;
        let done_without = |family: Family, err: &Trouble| {
            complain(&format!("no {family} address for {ifname}: {err}"));
        };
        let (four, six, trouble) = match (four, six) {
            (Ok(four), Ok(six)) => (four, six, None),
            (Ok(four @ Some(_)), Err(err)) if partial => {
                done_without(Family::V6, &err);
                (four, None, None)
            }
            (Err(err), Ok(six @ Some(_))) if partial => {
                done_without(Family::V4, &err);
                (None, six, None)
            }
            (Err(err), _) | (_, Err(err)) => (None, None, Some(err)),
        };
        let unused = Record {
            four: offered.0.filter(|_| four.is_none()),
            six: offered.1.filter(|_| six.is_none()),
            ..record.clone()
        };
        self.give_up(client, unused).await;
        match trouble {
            Some(trouble) => {
                self.forget(&record.names);
                Err(trouble)
            }
            None => Ok(Record {
                four,
                six,
                pending: false,
                ..record
            }),
        }
    }

    /// Releases the leases of a failed call.
    async fn give_up(&self, client: &Client, unused: Record) {
        if unused.four.is_none() && unused.six.is_none() {
            return;
        }
        let spot = client.spot.clone();
        if let Err(err) = blocking(move || release::all(&unused, &spot)).await {
            complain(&format!("release: {err}"));
        }
    }

    /// Obtains a lease, with retries until the deadline.
    async fn acquire_four(
        &self,
        client: &Client,
        own: Option<Duration>,
        pending: &Pending<'_>,
    ) -> Result<Lease4, Trouble> {
        let patience = self.patience(own);
        let deadline = Instant::now() + patience.whole;
        let (ifname, pause) = (&client.spot.ifname, patience.longest_pause);
        let attempt = async || {
            let requesting = |offer| pending.set(|record| record.four = Some(offer));
            let acquired = client.acquire(None, deadline, requesting).await;
            if matches!(acquired, Err(Trouble::Nak(_))) {
                pending.set(|record| record.four = None)?;
            }
            acquired
        };
        let lease = persist(ifname, pause, deadline, attempt).await?;
        if answer::address(&lease.ack).is_some() {
            return Ok(lease);
        }
        let text = "DHCP option Subnet Mask not found in DHCPACK";
        Err(Trouble::Answer(text.to_owned()))
    }
}
