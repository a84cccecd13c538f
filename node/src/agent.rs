//! The order of steps: nodes, routes, masquerade, the list, the node's condition.

use std::collections::BTreeSet;
use std::fs;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::api::{Server, client};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::health::{Shared, serve};
use crate::judge::judge;
use crate::known::Known;
use crate::leases::strays;
use crate::list::{TEMPLATE, clear_drafts, is_there, render, write};
use crate::log::Log;
use crate::masquerade;
use crate::plan::plan;
use crate::routes::{Made, Routes};
use crate::sweep;
use crate::ways::Mode;

/// Without a message for this long, everything is compared again: other programs may have removed a route.
const AGAIN: Duration = Duration::from_secs(60);

/// The first pause after a failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The agent's settings.
#[derive(Debug)]
pub struct Settings {
    /// The name of its own node.
    pub node: String,
    /// The API server.
    pub server: Server,
    /// How other nodes may be reached.
    pub mode: Mode,
    /// The file of the node's list.
    pub list: PathBuf,
    /// A template of the list.
    pub template: Option<PathBuf>,
    /// The suite, which judges the list. Without it, the list is written only if there is none.
    pub linkspan: Option<PathBuf>,
    /// Where host-local keeps its leases.
    pub leases: PathBuf,
    /// The address that serves health and figures.
    pub health: Option<SocketAddr>,
    /// The form of the log.
    pub log: Log,
    /// The settings for the engine's sandboxes; `None` if the engine is not asked.
    pub sweep: Option<sweep::Settings>,
}

/// Runs without end. An error occurs only at the start.
pub fn run(settings: &Settings) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::Settings(format!("start the runtime: {err}")))?;
    let client = {
        let _in_runtime = runtime.enter();
        client(&settings.server)?
    };
    let health = Shared::default();
    if let Some(address) = settings.health {
        let bound = runtime.block_on(serve(address, health.clone()))?;
        settings.log.say(&format!("listening at {bound}"));
    }
    if let Some(sweep) = &settings.sweep {
        runtime.spawn(sweep::run(sweep.clone(), settings.log, health.clone()));
    }
    let mut agent = Agent {
        settings,
        runtime,
        routes: Routes::open(settings.mode)?,
        events: Events::new(client.clone()),
        cluster: Cluster::new(client),
        health,
        told: BTreeSet::new(),
        settled: None,
    };
    let mut pause = FIRST_PAUSE;
    let mut limit = AGAIN;
    clear_drafts(&settings.list);
    loop {
        if let Err(err) = agent.runtime.block_on(agent.cluster.step(limit)) {
            agent.health.update(|health| health.api_failures += 1);
            settings.log.warn(&err.to_string());
            agent.runtime.block_on(wait(pause));
            pause = LONGEST_PAUSE.min(pause * 2);
            continue;
        }
        match agent.settle() {
            Ok(()) => (pause, limit) = (FIRST_PAUSE, AGAIN),
            Err(err) => {
                agent.health.update(|health| {
                    health.failures += 1;
                    health.lacks = err.to_string();
                });
                agent.tell(vec![err.to_string()], None);
                limit = pause;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

struct Agent<'a> {
    settings: &'a Settings,
    runtime: Runtime,
    routes: Routes,
    cluster: Cluster,
    events: Events,
    health: Shared,
    told: BTreeSet<String>,
    /// The time since when the node's state is as wanted.
    settled: Option<Instant>,
}

impl Agent<'_> {
    /// Makes the node's state follow its cluster. Does nothing if no relevant change came.
    fn settle(&mut self) -> Result<()> {
        let changed = self.cluster.has_changed();
        let is_recent = |when: Instant| when.elapsed() < AGAIN;
        if !changed && self.settled.is_some_and(is_recent) {
            return Ok(());
        }
        self.settled = None;
        self.settle_anew()?;
        self.settled = Some(Instant::now());
        Ok(())
    }

    /// Settles. Routes and masquerade come before the list: the list alone makes the node ready.
    fn settle_anew(&mut self) -> Result<()> {
        let name = &self.settings.node;
        let Some(own) = self.cluster.nodes().get(name).cloned() else {
            let told = format!("the API server has no node {name}: everything stays as it is");
            self.lacks(&told);
            self.tell(vec![told], None);
            return Ok(());
        };
        let seen = self.routes.see(&own.parts)?;
        let planned = plan(name, self.cluster.nodes(), &seen.networks());
        let made = self.routes.make(&own.parts, &planned.routes, seen)?;
        self.tell_routes(&made);
        let mtu = made.mtu;
        let mut lines = planned.refused;
        lines.extend(made.refused);
        let unusable = if own.parts.is_empty() {
            Some(format!("node {name} has no podCIDRs yet"))
        } else {
            planned.unusable
        };
        if let Some(why) = unusable {
            let told = format!("{why}: the list waits for others");
            self.lacks(&told);
            lines.push(told);
            self.tell(lines, Some(&own));
            return Ok(());
        }
        let others: Vec<IpNetwork> = planned.routes.into_keys().collect();
        if masquerade::keep(&own.parts, &others)? {
            self.settings.log.say("changed what is masqueraded");
        }
        let list = self.put_list(&own, mtu)?;
        lines.extend(strays(&self.settings.leases, &list, &own.parts));
        self.tell(lines, Some(&own));
        self.health.update(|health| health.lacks.clear());
        if own.unavailable {
            self.runtime.block_on(self.cluster.set_available(name))?;
            self.settings.log.say("set NetworkUnavailable to False");
        }
        Ok(())
    }

    /// Puts the node's list in place. Returns its text.
    fn put_list(&self, own: &Known, mtu: Option<u32>) -> Result<String> {
        let Settings { list: path, .. } = self.settings;
        let template = match &self.settings.template {
            Some(file) => fs::read_to_string(file).map_err(Error::file(file))?,
            None => TEMPLATE.to_owned(),
        };
        let list = render(&template, &own.parts, mtu)?;
        if !is_there(path, &list)? {
            if let Some(linkspan) = &self.settings.linkspan {
                judge(linkspan, path, &list)?;
            }
            write(path, &list)?;
            self.health.update(|health| health.lists_written += 1);
            self.settings.log.say(&format!("wrote {}", path.display()));
        }
        Ok(list)
    }

    fn tell_routes(&self, made: &Made) {
        if made.changed > 0 {
            self.settings.log.say(&format!(
                "{} routes to other nodes' parts, {} of them by the tunnel; {} changed",
                made.count, made.tunnelled, made.changed
            ));
        }
        self.health.update(|health| {
            health.nodes = self.cluster.nodes().len();
            (health.routes, health.tunnelled) = (made.count, made.tunnelled);
            health.route_changes += made.changed;
        });
    }

    fn lacks(&self, why: &str) {
        self.health
            .update(|health| why.clone_into(&mut health.lacks));
    }

    /// Reports lines that are new since the last time, in the log and, for a registered node, as its events.
    fn tell(&mut self, lines: Vec<String>, node: Option<&Known>) {
        let lines: BTreeSet<String> = lines.into_iter().collect();
        self.health.update(|health| health.refused = lines.len());
        for line in lines.difference(&self.told) {
            self.settings.log.warn(line);
            if let Some(node) = node {
                let posted = self.events.post(&self.settings.node, node, line);
                if let Err(err) = self.runtime.block_on(posted) {
                    self.settings
                        .log
                        .warn(&format!("no event was made of that: {err}"));
                }
            }
        }
        self.told = lines;
    }
}

async fn wait(pause: Duration) {
    // No message ever comes, so the pause decides.
    match timeout(pause, pending::<()>()).await {
        Ok(()) | Err(_) => {}
    }
}
