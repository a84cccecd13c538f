//! The attachments with a lease, or with an ADD in progress, and the calls for them.
//!
//! Calls for one attachment run one by one. DEL first cancels an ADD in progress, since the engine has given it up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use linkspan_owner::home::Home;
use linkspan_owner::life::{HostEnd, Judge, Life};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::json::Json;
use linkspan_protocol::result::AddResult;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::task::JoinHandle;

use super::Daemon;
use crate::answer;
use crate::complain::complain;
use crate::conf::{Conf, Plan, names};
use crate::exchange::{Client, Patience, blocking};
use crate::identity::Names;
use crate::link::Spot;
use crate::profile::Profile;
use crate::record::Record;
use crate::release;
use crate::rpc::Args;
use crate::trouble::Trouble;

/// Maximum number of concurrent requests for addresses. Others wait, within their own deadlines.
const AT_ONCE: usize = 256;

/// Every attachment by its names.
#[derive(Debug)]
pub(crate) struct Leases {
    slots: RefCell<BTreeMap<Names, Rc<Slot>>>,
    pub(super) turns: Rc<Semaphore>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            slots: RefCell::default(),
            turns: Rc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// One attachment.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Locked by the current call.
    held: Mutex<Option<Held>>,
    /// Cancels an ADD.
    cancel: Notify,
}

/// A lease and its keeper tasks.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) record: Rc<RefCell<Record>>,
    keepers: Vec<JoinHandle<()>>,
}

impl Held {
    /// Returns whether the lease is still kept. Its tasks end when it is lost.
    fn is_kept(&self) -> bool {
        self.keepers.iter().any(|keeper| !keeper.is_finished())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for keeper in &self.keepers {
            keeper.abort();
        }
    }
}

/// Removes an unused slot, also if the client disconnects during the call.
struct Tidy<'a>(&'a Daemon, Names);

impl Drop for Tidy<'_> {
    fn drop(&mut self) {
        self.0.tidy(&self.1);
    }
}

/// A decoded call.
struct Call {
    names: Names,
    plan: Plan,
    netns: PathBuf,
}

impl Daemon {
    fn slot(&self, names: &Names) -> Rc<Slot> {
        let mut slots = self.leases.slots.borrow_mut();
        Rc::clone(slots.entry(names.clone()).or_default())
    }

    /// The slot, and a guard that removes it when it is unused.
    fn entered(&self, names: &Names) -> (Tidy<'_>, Rc<Slot>) {
        (Tidy(self, names.clone()), self.slot(names))
    }

    /// Removes a slot without a lease and without users.
    fn tidy(&self, names: &Names) {
        let mut slots = self.leases.slots.borrow_mut();
        let is_unused = slots.get(names).is_some_and(|slot| {
            let is_empty = slot.held.try_lock().is_ok_and(|held| held.is_none());
            is_empty && Rc::strong_count(slot) == 1
        });
        if is_unused {
            slots.remove(names);
        }
    }

    pub(crate) fn patience(&self, own: Option<Duration>) -> Patience {
        let whole = own.unwrap_or(self.flags.resend_timeout);
        Patience {
            timeout: self.flags.timeout.min(whole),
            longest_pause: self.flags.resend_max,
            whole,
        }
    }

    /// This process's path of a namespace of the host.
    pub(crate) fn seen_from_here(&self, path: &std::path::Path) -> PathBuf {
        let prefix = &self.flags.host_prefix;
        if prefix.is_empty() {
            return path.to_owned();
        }
        let mut seen = std::ffi::OsString::from(prefix);
        seen.push(path);
        seen.into()
    }

    /// The result for the attachment, from its lease or from a new one.
    pub(super) async fn allocate(self: &Rc<Self>, args: &Args) -> Result<AddResult, Trouble> {
        let call = call(args)?;
        let (_tidy, slot) = self.entered(&call.names);
        let mut held = slot.held.lock().await;
        self.allocate_in(&slot, &mut held, &call).await
    }

    async fn allocate_in(
        self: &Rc<Self>,
        slot: &Slot,
        held: &mut Option<Held>,
        call: &Call,
    ) -> Result<AddResult, Trouble> {
        let spot = Spot {
            path: self.seen_from_here(&call.netns),
            ifname: call.names.ifname.clone(),
            id: None,
        };
        let looked = spot.clone();
        let (facts, home) = blocking(move || {
            let facts = looked.visit(|facts| Ok(facts.clone()))?;
            let path = NetnsPath::new(&looked.path.to_string_lossy());
            Ok((facts, path.and_then(|path| Home::of(&path))))
        })
        .await?;
        if let Some(known) = held.as_ref().filter(|held| held.is_kept()) {
            let record = known.record.borrow();
            if record.id == facts.id {
                return Ok(answer::result(&record, &call.plan.shape));
            }
        }
        // A lease of an earlier container with these names is useless.
        *held = None;
        let spot = Spot {
            id: Some(facts.id),
            ..spot
        };
        if facts.kind == "ipvlan" {
            let plan = &call.plan;
            let serves = plan.client.serves_siblings(plan.families.asked);
            serves.map_err(Trouble::Call)?;
        }
        let client = Client {
            id: call.plan.client.bytes(&call.names, facts.mac),
            profile: self.profile(&call.plan),
            timeout: self.patience(call.plan.timeout).timeout,
            spot,
        };
        let record = Record {
            names: call.names.clone(),
            netns: call.netns.clone(),
            id: facts.id,
            home,
            profile: client.profile.clone(),
            client: client.id.clone(),
            four: None,
            six: None,
            pending: false,
        };
        let record = {
            let acquired = Box::pin(self.acquire(&client, &call.plan, record));
            let cancelled = pin!(slot.cancel.notified());
            match select(cancelled, acquired).await {
                Either::Left(_) => return Err(Trouble::Cancelled),
                Either::Right((acquired, _)) => acquired?,
            }
        };
        if let Err(trouble) = self.store.remember(&record) {
            let spot = client.spot;
            self.forget(&record.names);
            blocking(move || release::all(&record, &spot)).await?;
            return Err(trouble);
        }
        let result = answer::result(&record, &call.plan.shape);
        *held = Some(self.hold(record));
        Ok(result)
    }

    fn profile(&self, plan: &Plan) -> Profile {
        let mut profile = plan.profile.clone();
        profile.broadcast |= self.flags.broadcast;
        profile
    }

    /// Starts to keep the lease.
    fn hold(self: &Rc<Self>, record: Record) -> Held {
        let record = Rc::new(RefCell::new(record));
        let keepers = super::keep::start(self, &record);
        Held { record, keepers }
    }

    /// The result from the attachment's existing lease.
    pub(super) async fn look(self: &Rc<Self>, args: &Args) -> Result<AddResult, Trouble> {
        let call = call(args)?;
        let (_tidy, slot) = self.entered(&call.names);
        let held = slot.held.lock().await;
        let kept = held.as_ref().filter(|held| held.is_kept());
        let found = kept.map(|held| answer::result(&held.record.borrow(), &call.plan.shape));
        let missing = || Trouble::Call(format!("no lease of {}", call.names.key()));
        found.ok_or_else(missing)
    }

    /// Releases the attachment's lease, if there is one.
    pub(super) async fn release(&self, args: &Args) -> Result<(), Trouble> {
        self.release_of(&names(args, &leniently(args)?.name)).await;
        Ok(())
    }

    async fn release_of(&self, names: &Names) {
        let (_tidy, slot) = self.entered(names);
        slot.cancel.notify_waiters();
        let mut held = slot.held.lock().await;
        let known = held.take().map(|held| held.record.borrow().clone());
        if let Some(record) = known.or_else(|| self.store.read(names)) {
            let spot = self.spot(&record);
            let given = blocking(move || release::all(&record, &spot)).await;
            if let Err(err) = given {
                complain(&format!("release the lease of {}: {err}", names.key()));
            }
        }
        self.forget(names);
    }

    /// Forgets the stored record of an attachment.
    pub(super) fn forget(&self, names: &Names) {
        if let Err(err) = self.store.forget(names) {
            complain(&format!("forget the lease of {}: {err}", names.key()));
        }
    }

    /// The location of a record's interface.
    pub(super) fn spot(&self, record: &Record) -> Spot {
        record.spot(self.seen_from_here(&record.netns))
    }

    /// Releases the leases of the network's attachments that are not on the list of valid ones.
    pub(super) async fn collect(&self, args: &Args) -> Result<(), Trouble> {
        let conf = leniently(args)?;
        let valid = conf.valid_attachments.unwrap_or_default();
        let is_stale = |names: &Names| {
            let is_valid = valid
                .iter()
                .any(|valid| valid.container_id == names.container && valid.ifname == names.ifname);
            names.network == conf.name && !is_valid
        };
        // Only the store knows the addresses of an ADD whose plugin disconnected.
        let stored = self.store.all()?.into_iter().map(|record| record.names);
        let mut stale: BTreeSet<Names> = stored.collect();
        stale.extend(self.leases.slots.borrow().keys().cloned());
        stale.retain(is_stale);
        for names in stale {
            self.release_of(&names).await;
        }
        Ok(())
    }

    /// Takes over the leases of the previous daemon. Drops those of namespaces that are gone, and releases those whose
    /// plugin never got an answer.
    pub(super) fn restore(self: &Rc<Self>) -> std::io::Result<()> {
        let judge = Judge::now();
        for record in self.store.all()? {
            let home = record.home.as_ref();
            let life = home.map(|home| judge.home(home, || HostEnd::Untold));
            if life == Some(Life::Gone) {
                self.store.forget(&record.names)?;
                continue;
            }
            let names = record.names.clone();
            if record.pending {
                let daemon = Rc::clone(self);
                tokio::task::spawn_local(async move { daemon.release_of(&names).await });
                continue;
            }
            let slot = Slot {
                held: Mutex::new(Some(self.hold(record))),
                cancel: Notify::new(),
            };
            self.leases.slots.borrow_mut().insert(names, Rc::new(slot));
        }
        Ok(())
    }
}

fn netconf(err: &linkspan_protocol::json::Error) -> Trouble {
    Trouble::Call(format!("error parsing netconf: {err}"))
}

/// The keys that DEL and GC need, from a configuration that may have been edited.
fn leniently(args: &Args) -> Result<NetConf, Trouble> {
    let json = Json::parse(&args.stdin).map_err(|err| netconf(&err))?;
    NetConf::decode_leniently(&json).map_err(|err| netconf(&err))
}

fn call(args: &Args) -> Result<Call, Trouble> {
    let json = Json::parse(&args.stdin).map_err(|err| netconf(&err))?;
    let conf: Conf = json.decode().map_err(|err| netconf(&err))?;
    let network: NetConf = json.decode().map_err(|err| netconf(&err))?;
    let plan = conf.plan(&args.pairs);
    let plan =
        plan.map_err(|failure| Trouble::Call(format!("error parsing netconf: {failure}")))?;
    Ok(Call {
        names: names(args, &network.name),
        plan,
        netns: PathBuf::from(&args.netns),
    })
}
