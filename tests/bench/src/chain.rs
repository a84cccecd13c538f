//! Lists of plugins, run as a container runtime runs them: one process for each, the result handed on.

use std::path::PathBuf;

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::Sandbox;
use linkspan_netlink::netns::Netns;
use serde_json::{Value, json};

use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// Where plugins find `iptables`.
const TOOLS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The measured verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Check,
    Status,
    Del,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Del => "DEL",
        }
    }
}

/// A list of plugins.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// Where the plugins are.
    pub(crate) dir: PathBuf,
    /// Their configurations.
    pub(crate) plugins: Vec<Value>,
    /// The previous result of the first plugin.
    pub(crate) before: Option<Value>,
}

/// A future attachment.
#[derive(Debug)]
pub(crate) struct Pod {
    sandbox: Sandbox,
    id: String,
    result: Option<Value>,
}

impl Pod {
    pub(crate) fn new(id: &str) -> Self {
        let netns = Netns::create().unwrap();
        Self {
            sandbox: Sandbox::new(netns),
            id: id.to_owned(),
            result: None,
        }
    }

    /// Runs the list's plugins, in the order of the verb. Returns their total cost.
    pub(crate) fn run(&mut self, list: &List, verb: Verb, mode: &Mode) -> Cost {
        let mut total = Cost::default();
        let mut plugins: Vec<&Value> = list.plugins.iter().collect();
        if verb == Verb::Del {
            plugins.reverse();
        }
        if verb == Verb::Add {
            self.result.clone_from(&list.before);
        }
        for plugin in plugins {
            let exe = list.dir.join(plugin["type"].as_str().unwrap());
            let previous = self.result.as_ref().filter(|_| verb != Verb::Status);
            let mut conf = match previous {
                Some(result) => with(plugin.clone(), &json!({ "prevResult": result })),
                None => plugin.clone(),
            };
            if verb == Verb::Status {
                conf = with(conf, &json!({ "cniVersion": "1.1.0" }));
            }
            let call = Call::new(&exe)
                .verb(verb.name())
                .env("PATH", TOOLS)
                .env("CNI_PATH", &list.dir.to_string_lossy())
                .of(&self.id, &self.sandbox)
                .conf(&conf);
            let (output, cost) = mode.run(&call);
            if verb == Verb::Add {
                self.result = Some(output.json());
            }
            total += cost;
        }
        total
    }
}

/// A list whose pod is attached and detached.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) case: String,
    /// See [`Scenario::base`].
    pub(crate) base: Option<String>,
    pub(crate) who: Who,
    pub(crate) list: List,
    pub(crate) verbs: &'static [Verb],
    pub(crate) pod: Pod,
}

impl Scenario for Chain {
    fn case(&self) -> String {
        self.case.clone()
    }

    fn who(&self) -> Who {
        self.who
    }

    fn base(&self) -> Option<String> {
        self.base.clone()
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        let Self {
            list, pod, verbs, ..
        } = self;
        let costs = verbs
            .iter()
            .map(|verb| (verb.name(), pod.run(list, *verb, mode)));
        costs.collect()
    }
}

/// A process that does nothing: the cost of starting and ending this program.
#[derive(Debug)]
pub(crate) struct Nothing(pub(crate) PathBuf);

impl Scenario for Nothing {
    fn case(&self) -> String {
        "a process that does nothing".to_owned()
    }

    fn who(&self) -> Who {
        Who::Ours
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        vec![("start", mode.run(&Call::new(&self.0)).1)]
    }
}
