//! Keeping a lease: renewal with its server, rebinding with any server, and the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use linkspan_protocol::family::Family;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Daemon;
use crate::clock::{Moment, wait};
use crate::complain::complain;
use crate::exchange::{Client, Ladder, blocking};
use crate::lease::Times;
use crate::record::Record;
use crate::six;
use crate::trouble::Trouble;

/// Interval of checks on the interface of a lease without an end.
const LOOK: Duration = Duration::from_secs(3600);

/// Starts a task for each family of the record.
pub(super) fn start(daemon: &Rc<Daemon>, record: &Rc<RefCell<Record>>) -> Vec<JoinHandle<()>> {
    let has = |family| match family {
        Family::V4 => record.borrow().four.is_some(),
        Family::V6 => record.borrow().six.is_some(),
    };
    let families = Family::BOTH.into_iter().filter(|family| has(*family));
    let keeper = |family| {
        let keeper = Keeper {
            daemon: Rc::clone(daemon),
            record: Rc::clone(record),
            family,
        };
        tokio::task::spawn_local(keeper.keep())
    };
    families.map(keeper).collect()
}

struct Keeper {
    daemon: Rc<Daemon>,
    record: Rc<RefCell<Record>>,
    family: Family,
}

impl Keeper {
    /// The lease's times; `None` for a lease without an end.
    fn times(&self) -> Option<Times> {
        let record = self.record.borrow();
        match self.family {
            Family::V4 => record.four.as_ref()?.times(),
            Family::V6 => record.six.as_ref()?.times(),
        }
    }

    fn client(&self) -> Client {
        let record = self.record.borrow();
        Client {
            spot: self.daemon.spot(&record),
            profile: record.profile.clone(),
            id: record.client.clone(),
            timeout: self.daemon.patience(None).timeout,
        }
    }

    async fn keep(self) {
        let why = loop {
            let times = self.times();
            let wake = times.map_or_else(|| Instant::now() + LOOK, |times| times.t1.instant());
            wait(wake).await;
            if let Some(times) = times
                && let Err(why) = self.renewed(times).await
            {
                break why;
            }
            if let Err(why) = self.is_wanted().await {
                break why;
            }
        };
        let key = self.record.borrow().names.key();
        if let Err(err) = self.forget() {
            complain(&format!("forget the lease of {key}: {err}"));
        }
        complain(&format!("the lease of {key} ended: {why}"));
    }

    /// Forgets this lease, and the attachment if it was the last lease.
    fn forget(&self) -> std::io::Result<()> {
        let mut record = self.record.borrow_mut();
        match self.family {
            Family::V4 => record.four = None,
            Family::V6 => record.six = None,
        }
        let store = &self.daemon.store;
        if record.four.is_none() && record.six.is_none() || !store.has(&record.names) {
            return store.forget(&record.names);
        }
        store.write(&record)
    }

    /// Verifies that the interface exists and that the record was not deleted. The plugin deletes it without a daemon.
    async fn is_wanted(&self) -> Result<(), String> {
        let record = self.record.borrow().clone();
        if !self.daemon.store.has(&record.names) {
            return Err("it was released without us".to_owned());
        }
        let spot = self.daemon.spot(&record);
        match blocking(move || spot.is_there()).await {
            Err(trouble @ (Trouble::NoLink(_) | Trouble::NoNamespace(_))) => {
                Err(trouble.to_string())
            }
            // A namespace that cannot be entered now may be accessible later.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Renews the lease from `times.t1` on. Returns an error if it ran out.
    async fn renewed(&self, times: Times) -> Result<(), String> {
        let mut ladder = Ladder::default();
        loop {
            self.is_wanted().await?;
            let ifname = self.record.borrow().names.ifname.clone();
            let everybody = times.t2.is_past();
            match self.attempt(times, everybody).await {
                Ok(()) => return Ok(()),
                Err(trouble) if times.expiry.is_past() => {
                    return Err(self.expired(&trouble).await);
                }
                Err(trouble) => complain(&format!("{ifname}: renew: {trouble}")),
            }
            // At T2 the client asks all servers at once, without a pause.
            if times.t2.is_past() && !everybody {
                continue;
            }
            let next = if everybody { times.expiry } else { times.t2 };
            let pause = ladder.pause(self.daemon.patience(None).longest_pause);
            wait(Moment::now().after(pause).min(next).instant()).await;
        }
    }

    /// Tries once: asks the server of the lease until `times.t2`, then all servers.
    async fn attempt(&self, times: Times, everybody: bool) -> Result<(), Trouble> {
        let until = if everybody { times.expiry } else { times.t2 };
        let (until, client) = (until.instant(), self.client());
        let (four, six) = {
            let record = self.record.borrow();
            (record.four.clone(), record.six.clone())
        };
        match (self.family, four, six) {
            (Family::V4, Some(lease), _) => {
                let renewed = match client.renew(&lease, everybody, until).await {
                    // The server has forgotten the lease, so the client requests the same address anew.
                    Err(Trouble::Nak(words)) => {
                        complain(&format!("{}: rejected ({words})", client.spot.ifname));
                        let until = times.expiry.instant();
                        // The record has this address already.
                        let requesting = |_offer| Ok(());
                        client
                            .acquire(Some(lease.ack.yours), until, requesting)
                            .await
                    }
                    renewed => renewed,
                };
                self.record.borrow_mut().four = Some(renewed?);
            }
            (Family::V6, _, Some(lease)) => {
                let renewed = six::renew(&client, &lease, everybody, until).await;
                self.record.borrow_mut().six = Some(renewed?);
            }
            _ => return Ok(()),
        }
        self.remember();
        Ok(())
    }

    fn remember(&self) {
        let record = self.record.borrow();
        // After a restart the old record is used: its lease ends earlier, and is otherwise as good.
        if let Err(trouble) = self.daemon.store.remember(&record) {
            complain(&trouble.to_string());
        }
    }

    /// Stops the interface's use of the address, which may belong to another station from now on.
    async fn expired(&self, trouble: &Trouble) -> String {
        let spot = self.client().spot;
        let six = self.record.borrow().six.as_ref().map(|lease| lease.address);
        let (done, undone) = match (self.family, six) {
            (Family::V6, Some(address)) => (
                "its address is taken away",
                blocking(move || spot.take(address)).await,
            ),
            _ => (
                "its interface is down",
                blocking(move || spot.set_down()).await,
            ),
        };
        match undone {
            Ok(()) => format!("it ran out ({trouble}), and {done}"),
            Err(err) => format!("it ran out ({trouble}), and {done}, but for an error: {err}"),
        }
    }
}
