//! The order of things: nodes, routes, the list, the node's condition.

use std::collections::BTreeSet;
use std::future::pending;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::api::client;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::list::{render, write};
use crate::plan::plan;
use crate::routes::Routes;

/// How long nothing may be told before the routes are compared again: somebody else may have removed one.
const AGAIN: Duration = Duration::from_secs(60);

/// The first pause after a failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the agent is told at its start.
#[derive(Debug)]
pub struct Settings {
    /// The name of its own node.
    pub node: String,
    /// The API server, where the pod's own variables do not lead to it.
    pub server: Option<String>,
    /// The cluster's networks.
    pub cluster: Vec<IpNetwork>,
    /// The file of the node's list.
    pub list: PathBuf,
}

/// Runs without end; an error is one of the start.
pub fn run(settings: &Settings) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::Settings(format!("start the runtime: {err}")))?;
    let client = {
        let _in_runtime = runtime.enter();
        client(settings.server.as_deref())?
    };
    let mut agent = Agent {
        settings,
        routes: Routes::open()?,
        cluster: Cluster::new(client),
        told: BTreeSet::new(),
    };
    let mut pause = FIRST_PAUSE;
    let mut limit = AGAIN;
    loop {
        match runtime.block_on(agent.cluster.step(limit)) {
            Ok(()) => {}
            Err(err) => {
                say(&err.to_string());
                runtime.block_on(wait(pause));
                pause = LONGEST_PAUSE.min(pause * 2);
                continue;
            }
        }
        match agent.settle(&runtime) {
            Ok(()) => (pause, limit) = (FIRST_PAUSE, AGAIN),
            Err(err) => {
                agent.tell(vec![err.to_string()]);
                limit = pause;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

struct Agent<'a> {
    settings: &'a Settings,
    routes: Routes,
    cluster: Cluster,
    told: BTreeSet<String>,
}

impl Agent<'_> {
    /// Makes the node what its cluster says. The routes come first: the list alone makes the node ready.
    fn settle(&mut self, runtime: &Runtime) -> Result<()> {
        let name = &self.settings.node;
        let Some(own) = self.cluster.nodes().get(name).cloned() else {
            let told = format!("the API server has no node {name}: everything stays as it is");
            self.tell(vec![told]);
            return Ok(());
        };
        let taken = self.routes.networks(&own.parts)?;
        let planned = plan(name, self.cluster.nodes(), &taken);
        let made = self.routes.make(&planned.routes)?;
        if made.changed > 0 {
            let count = planned.routes.len() - made.refused.len();
            say(&format!(
                "routes to {count} parts, {} changed",
                made.changed
            ));
        }
        let mut lines = planned.refused;
        lines.extend(made.refused);
        if own.parts.is_empty() {
            lines.push(format!(
                "node {name} has no podCIDRs yet: the list waits for them"
            ));
            self.tell(lines);
            return Ok(());
        }
        self.tell(lines);
        let list = render(&own.parts, &self.settings.cluster)?;
        if write(&self.settings.list, &list)? {
            say(&format!("wrote {}", self.settings.list.display()));
        }
        if own.unavailable {
            runtime.block_on(self.cluster.set_available(name))?;
            say("set NetworkUnavailable to False");
        }
        Ok(())
    }

    /// Tells what was not the case the last time.
    fn tell(&mut self, lines: Vec<String>) {
        let lines: BTreeSet<String> = lines.into_iter().collect();
        for line in lines.difference(&self.told) {
            say(line);
        }
        self.told = lines;
    }
}

async fn wait(pause: Duration) {
    // Nothing ever comes: the pause is the end of it.
    match timeout(pause, pending::<()>()).await {
        Ok(()) | Err(_) => {}
    }
}

/// A line of the log. The agent works on where nobody takes it.
fn say(line: &str) {
    match writeln!(stdout(), "linkspan-node: {line}") {
        Ok(()) | Err(_) => {}
    }
}
