//! Keeping a lease: it is renewed with its server, rebound with any server, and given up when it ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Daemon, complain};
use crate::clock::Moment;
use crate::exchange::{Client, Ladder, blocking};
use crate::record::{Lease4, Record, Times};
use crate::trouble::Trouble;

/// How often the interface of a lease without an end is looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Starts a task for each family of the record.
pub(super) fn start(daemon: &Rc<Daemon>, record: &Rc<RefCell<Record>>) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    if record.borrow().four.is_some() {
        let (daemon, record) = (Rc::clone(daemon), Rc::clone(record));
        tasks.push(tokio::task::spawn_local(async move {
            let ended = Keeper { daemon, record }.keep().await;
            ended.told();
        }));
    }
    tasks
}

struct Keeper {
    daemon: Rc<Daemon>,
    record: Rc<RefCell<Record>>,
}

/// Why a lease is no longer kept.
struct Ended {
    key: String,
    why: String,
}

impl Ended {
    fn told(&self) {
        complain(&format!("the lease of {} ended: {}", self.key, self.why));
    }
}

impl Keeper {
    fn lease(&self) -> Option<Lease4> {
        self.record.borrow().four.clone()
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

    async fn keep(self) -> Ended {
        let why = loop {
            let times = self.lease().map(|lease| lease.times());
            let Some(times) = times else {
                break "there is none".to_owned();
            };
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
        let names = self.record.borrow().names.clone();
        if let Err(err) = self.daemon.store.forget(&names) {
            complain(&format!("forget the lease of {}: {err}", names.key()));
        }
        Ended {
            key: names.key(),
            why,
        }
    }

    /// The interface is there, and nobody took the record away, as the plugin does when it cannot reach us.
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
            // A namespace that cannot be entered now may be one later.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Renews the lease from `times.t1` on; an error where it ran out.
    async fn renewed(&self, times: Times) -> Result<(), String> {
        let mut ladder = Ladder::default();
        loop {
            self.is_wanted().await?;
            let Some(lease) = self.lease() else {
                return Err("there is none".to_owned());
            };
            let client = self.client();
            let rebinds = times.t2.is_past();
            let until = if rebinds { times.expiry } else { times.t2 };
            let outcome = client.renew(&lease, rebinds, until.instant()).await;
            let outcome = match outcome {
                // The server has forgotten us: the same address is asked for anew.
                Err(Trouble::Nak(words)) => {
                    complain(&format!("{}: rejected ({words})", client.spot.ifname));
                    let until = times.expiry.instant();
                    client.acquire(Some(lease.ack.yours), until).await
                }
                outcome => outcome,
            };
            match outcome {
                Ok(lease) => return self.remember(lease),
                Err(trouble) if times.expiry.is_past() => {
                    return Err(self.expired(&trouble).await);
                }
                Err(trouble) => complain(&format!("{}: renew: {trouble}", client.spot.ifname)),
            }
            let next = if times.t2.is_past() {
                times.expiry
            } else {
                times.t2
            };
            let pause = ladder.pause(self.daemon.patience(None).longest_pause);
            wait(Moment::now().after(pause).min(next).instant()).await;
        }
    }

    fn remember(&self, lease: Lease4) -> Result<(), String> {
        let mut record = self.record.borrow_mut();
        record.four = Some(lease);
        // A restart would go on with the lease before, which is shorter and no worse.
        if let Err(err) = self.daemon.store.write(&record) {
            complain(&format!(
                "remember the lease of {}: {err}",
                record.names.key()
            ));
        }
        Ok(())
    }

    /// The address belongs to somebody else from now on, so the interface stops using it.
    async fn expired(&self, trouble: &Trouble) -> String {
        let spot = self.client().spot;
        match blocking(move || spot.set_down()).await {
            Ok(()) => format!("it ran out ({trouble}), and its interface is down"),
            Err(err) => format!("it ran out ({trouble}); set its interface down: {err}"),
        }
    }
}

async fn wait(until: Instant) {
    drop(timeout_at(until, std::future::pending::<()>()).await);
}
