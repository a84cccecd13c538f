//! Telemetry of a call, if the environment asks for it: spans, a record in the journal, counters.
//!
//! `LINKSPAN_TELEMETRY=DIR[,journal[=info]]` is the only switch. Without it a call makes no system call more, and allocates
//! nothing. With it everything is told once, after the answer is out, and a failure to tell is ignored: an attachment is
//! worth more than its record.

mod context;
pub mod counters;
mod files;
mod journal;
mod otlp;
mod spans;
mod switch;

use std::time::{Duration, Instant};

use linkspan_protocol::command::Command;
use linkspan_protocol::conf::NetConf;
use linkspan_protocol::env::Env;
use linkspan_protocol::error::WireError;
use linkspan_protocol::json::Json;

use self::context::Context;
use self::switch::{Level, Switch};

pub use self::spans::{Step, step};
pub(crate) use self::spans::{hand_on, named_step};

/// The variable that turns it on.
const SWITCH: &str = "LINKSPAN_TELEMETRY";
/// The variables of W3C's trace context that libcni hands on.
const PARENT: &str = "TRACEPARENT";
const STATE: &str = "TRACESTATE";
/// The keys of `CNI_ARGS` by which Kubernetes' engines name a pod. Other arguments may be secrets.
const POD_KEYS: [&str; 3] = ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID"];

/// A call that is being watched.
#[derive(Debug)]
pub(crate) struct Watched {
    switch: Switch,
    context: Option<Context>,
    began: Instant,
    network: String,
}

/// The facts of a call that is over.
#[derive(Debug)]
struct Outcome<'a> {
    plugin: &'a str,
    verb: Command,
    env: &'a Env,
    network: &'a str,
    /// The keys of [`POD_KEYS`] with their values, where the engine named a pod.
    pod: Vec<(&'static str, &'a str)>,
    took: Duration,
    error: Option<&'a WireError>,
}

/// Begins to watch this process' call, if `lookup` finds the switch in its environment.
pub(crate) fn begin(lookup: impl Fn(&str) -> Option<String>) -> Option<Watched> {
    let switch = Switch::parse(&lookup(SWITCH)?)?;
    let context = lookup(PARENT)
        .and_then(|parent| Context::parse(&parent, lookup(STATE).unwrap_or_default()));
    if switch.dir.is_some()
        && let Some(context) = context.as_ref().filter(|context| context.is_sampled())
    {
        spans::record(context);
    }
    Some(Watched {
        switch,
        context,
        began: Instant::now(),
        network: String::new(),
    })
}

impl Watched {
    /// Notes the name of the network in the configuration.
    pub(crate) fn read(&mut self, stdin: &[u8]) {
        let netconf = Json::parse(stdin).and_then(|json| NetConf::decode_leniently(&json));
        self.network = netconf.map(|netconf| netconf.name).unwrap_or_default();
    }

    /// Tells what has become of the call of `plugin`.
    pub(crate) fn end(&self, plugin: &str, env: &Env, error: Option<&WireError>) {
        let verb = Command::parse(&env.command).filter(|verb| *verb != Command::Version);
        let Some(verb) = verb else { return };
        let outcome = Outcome {
            plugin,
            verb,
            env,
            network: &self.network,
            pod: pod(&env.args),
            took: self.began.elapsed(),
            error,
        };
        // A failure of the telemetry itself is ignored.
        if let Some(dir) = &self.switch.dir {
            if let Some(recorded) = spans::recorded() {
                drop(files::append(dir, &otlp::line(&recorded, &outcome)));
            }
            let code = error.map_or(0, |error| error.code);
            drop(counters::count(dir, verb, code, outcome.took));
        }
        let is_told = match self.switch.journal {
            Level::Nothing => false,
            Level::Failures => error.is_some(),
            Level::All => true,
        };
        if is_told {
            drop(journal::send(&journal::record(
                &outcome,
                self.context.as_ref(),
            )));
        }
    }
}

fn pod(args: &str) -> Vec<(&'static str, &str)> {
    let pairs = args.split(';').filter_map(|pair| pair.split_once('='));
    let known = pairs.filter_map(|(key, value)| {
        let key = POD_KEYS.into_iter().find(|known| *known == key)?;
        Some((key, value))
    });
    known.filter(|(_, value)| !value.is_empty()).collect()
}
