//! Compares the node's attachments with the engine's sandboxes. Attachments whose sandboxes are gone are detached.
//! Living ones get removed state of the packet filter back.
//!
//! An engine lists a sandbox once it is created, and its network is created before that. So an attachment is detached
//! only if two looks miss its sandbox, further apart than kubelet waits for a sandbox. Each look reads the attachments
//! first and the sandboxes after them. If the engine cannot be asked, nothing happens.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use linkspan_protocol::ident::{AttachmentId, ContainerId};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::attachments::look;
use crate::cri::sandboxes;
use crate::error::{Error, Result};
use crate::health::Shared;
use crate::log::Log;
use crate::suite;

/// The time between two looks. kubelet waits for a sandbox for four minutes, and then creates another one.
pub const EVERY: Duration = Duration::from_secs(300);

/// The places of files, and the interval.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sockets of engines. The one that runs this agent's own pod counts.
    pub sockets: Vec<PathBuf>,
    /// The UID of this agent's own pod.
    pub pod: String,
    /// The time between two looks.
    pub every: Duration,
    /// The suite, which detaches and restores.
    pub linkspan: PathBuf,
    /// The file of the node's list.
    pub list: PathBuf,
    /// Where host-local keeps its leases.
    pub leases: PathBuf,
    /// The engine's directory of attachments.
    pub cache: PathBuf,
}

/// Looks without end. A failure is reported and counted, and the next look comes in its time.
pub async fn run(settings: Settings, log: Log, health: Shared) {
    let mut sweep = Sweep {
        settings,
        log,
        health,
        suspects: BTreeSet::new(),
    };
    let mut told = String::new();
    let mut clock = interval(sweep.settings.every);
    // The interval is never shorter.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let failed = sweep.look().await.err();
        let failed = failed.map(|err| err.to_string()).unwrap_or_default();
        if !failed.is_empty() {
            sweep.health.update(|health| health.engine_failures += 1);
            if failed != told {
                sweep.log.warn(&failed);
            }
        }
        told = failed;
    }
}

struct Sweep {
    settings: Settings,
    log: Log,
    health: Shared,
    /// Sandboxes that have attachments, and that the engine did not know at the last look.
    suspects: BTreeSet<ContainerId>,
}

impl Sweep {
    async fn look(&mut self) -> Result<()> {
        let Some(network) = self.network()? else {
            // Without a list there is nothing to do yet.
            return Ok(());
        };
        let Settings {
            linkspan,
            cache,
            leases,
            ..
        } = self.settings.clone();
        let attachments = beside(move || look(&linkspan, &cache, &leases, &network)).await?;
        let known = sandboxes(&self.settings.sockets, &self.settings.pod).await?;
        let others = attachments.elsewhere.iter().map(|(_, id)| id);
        let all = attachments.remembered.union(&attachments.unfinished);
        let orphans: BTreeSet<ContainerId> = all
            .clone()
            .chain(others)
            .map(|id| id.container_id.clone())
            .filter(|container| !known.contains(container))
            .collect();
        let lost = &orphans & &self.suspects;
        self.suspects = orphans;
        let is_lost = |id: &&AttachmentId| lost.contains(&id.container_id);
        let gone: Vec<AttachmentId> = all.filter(is_lost).cloned().collect();
        let living = attachments.remembered.iter();
        let living: Vec<AttachmentId> = living
            .filter(|id| known.contains(&id.container_id))
            .cloned()
            .collect();
        let detached = self.ask("gc", "--gone", &gone).await?;
        for line in detached.done.lines() {
            self.health.update(|health| health.detached += 1);
            self.log
                .say(&format!("{line}: the engine has no such sandbox"));
        }
        let restored = self.ask("restore", "--only", &living).await?;
        let mut failed = [detached.failed, restored.failed].concat();
        for (network, id) in attachments.elsewhere {
            if lost.contains(&id.container_id) {
                failed.extend(self.delete(&network, &id).await?);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::Settings(failed.join("; ")))
    }

    /// The name of the list's network; `None` before the first list.
    fn network(&self) -> Result<Option<String>> {
        let file = &self.settings.list;
        let text = match fs::read_to_string(file) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::file(file))?,
        };
        let list: Value = serde_json::from_str(&text)
            .map_err(|err| Error::Settings(format!("{}: {err}", file.display())))?;
        let name = list.get("name").and_then(Value::as_str);
        Ok(name.map(str::to_owned))
    }

    /// Runs a verb of the suite for these attachments of the list's network.
    async fn ask(&self, verb: &str, option: &str, of: &[AttachmentId]) -> Result<Told> {
        if of.is_empty() {
            return Ok(Told::default());
        }
        let list = self.settings.list.display().to_string();
        let mut args = vec![verb.to_owned(), list];
        for at in of {
            args.push(format!("{option}={}/{}", at.container_id, at.ifname));
        }
        self.run(args).await
    }

    /// Detaches an attachment of another network, with the list that the engine remembers; what failed.
    async fn delete(&self, network: &str, at: &AttachmentId) -> Result<Vec<String>> {
        let net = format!("--net={network}");
        let ifname = format!("--ifname={}", at.ifname);
        let container = at.container_id.to_string();
        let told = self
            .run(vec!["del".to_owned(), net, ifname, container])
            .await?;
        if told.failed.is_empty() {
            self.health.update(|health| health.detached += 1);
            self.log.say(&format!(
                "deleted {network} {} {}: the engine has no such sandbox",
                at.container_id, at.ifname
            ));
        }
        Ok(told.failed)
    }

    async fn run(&self, args: Vec<String>) -> Result<Told> {
        let cache = format!("--cache-dir={}", self.settings.cache.display());
        let linkspan = self.settings.linkspan.clone();
        let args = [vec![cache], args].concat();
        let told = beside(move || suite::run(&linkspan, &args)).await?;
        let words = String::from_utf8_lossy(&told.stderr);
        let failed = words.lines().map(|line| line.trim().to_owned());
        Ok(Told {
            done: String::from_utf8_lossy(&told.stdout).into_owned(),
            failed: if told.status.success() {
                Vec::new()
            } else {
                failed.collect()
            },
        })
    }
}

/// The outcome of a verb, which goes on after a failure.
#[derive(Default)]
struct Told {
    done: String,
    failed: Vec<String>,
}

/// Runs slow work while the agent follows the nodes.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // The error's causes belong to this thread.
    let done = spawn_blocking(|| work().map_err(|err| err.to_string())).await;
    let done = done.unwrap_or_else(|err| Err(format!("a look at the attachments: {err}")));
    done.map_err(Error::Settings)
}
