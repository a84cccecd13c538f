//! Lists of plugins, run as a container runtime runs them: one process for each, the result handed on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::lab::Sandbox;
use linkspan_netlink::netns::Netns;
use serde_json::{Value, json};

use crate::process::{Cost, Mode};
use crate::scenario::{Scenario, Who};

/// Where plugins find `iptables` and `nft`.
pub(crate) const TOOLS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// Where they find programs.
    pub(crate) path: String,
    /// Their configurations.
    pub(crate) plugins: Vec<Value>,
    /// The previous result of the first plugin.
    pub(crate) before: Option<Value>,
}

/// Plugins that make a link of the pod's own.
const MAKERS: [&str; 3] = ["bridge", "macvlan", "ptp"];

impl List {
    /// The same list for a pod that lives beside others: it publishes other ports of the host.
    fn of_pod(&self, number: u16) -> Self {
        let mut list = self.clone();
        for plugin in &mut list.plugins {
            let ports = plugin.pointer_mut("/runtimeConfig/portMappings");
            let Some(ports) = ports.and_then(Value::as_array_mut) else {
                continue;
            };
            let shift = u64::from(number) * ports.len() as u64;
            for port in ports {
                let host = port["hostPort"].as_u64().unwrap();
                port["hostPort"] = json!(host + shift);
            }
        }
        list
    }

    fn kinds(&self) -> impl Iterator<Item = &str> {
        let plugins = self.plugins.iter();
        plugins.filter_map(|plugin| plugin["type"].as_str())
    }

    fn makes_links(&self) -> bool {
        self.kinds().any(|kind| MAKERS.contains(&kind))
    }

    /// Returns whether the suite has its plugins: an earlier release may have fewer.
    pub(crate) fn is_there(&self) -> bool {
        self.kinds().all(|kind| self.dir.join(kind).exists())
    }
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
                .env("PATH", &list.path)
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
    case: String,
    /// See [`Scenario::base`].
    base: Option<String>,
    who: Who,
    list: List,
    verbs: &'static [Verb],
    pod: Pod,
    /// Pods that live beside each other.
    living: BTreeMap<u16, Pod>,
}

/// The container ids of living pods begin here, far from those of a crowd.
const LIVING: u32 = 0x10_0000;

impl Chain {
    pub(crate) fn new(
        (case, who): (&str, Who),
        list: List,
        verbs: &'static [Verb],
        pod: Pod,
    ) -> Self {
        Self {
            case: case.to_owned(),
            base: None,
            who,
            list,
            verbs,
            pod,
            living: BTreeMap::new(),
        }
    }

    /// As growth of another case.
    pub(crate) fn grown(self, base: Option<String>) -> Self {
        Self { base, ..self }
    }
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

    fn lives(&self) -> bool {
        self.list.makes_links()
    }

    fn attach(&mut self, number: u16) {
        let id = || Pod::new(&format!("{:064x}", LIVING + u32::from(number)));
        let pod = self.living.entry(number).or_insert_with(id);
        pod.run(&self.list.of_pod(number), Verb::Add, &Mode::Timed);
    }

    fn detach(&mut self, number: u16) -> Cost {
        let pod = self.living.get_mut(&number).unwrap();
        pod.run(&self.list.of_pod(number), Verb::Del, &Mode::Timed)
    }
}

/// A process that does nothing: the cost of starting and ending this program.
#[derive(Debug)]
pub(crate) struct Nothing(pub(crate) PathBuf);

impl Nothing {
    pub(crate) const CASE: &str = "a process that does nothing";
    pub(crate) const OPERATION: &str = "start";
}

impl Scenario for Nothing {
    fn case(&self) -> String {
        Self::CASE.to_owned()
    }

    fn who(&self) -> Who {
        Who::Ours
    }

    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)> {
        vec![(Self::OPERATION, mode.run(&Call::new(&self.0)).1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_live_together_publish_ports_of_their_own() {
        let mapping = |port: u16| json!({ "hostPort": port, "containerPort": 80 });
        let ports =
            |ports: [u16; 2]| json!({ "runtimeConfig": { "portMappings": ports.map(mapping) } });
        let list = List {
            dir: PathBuf::new(),
            path: TOOLS.to_owned(),
            plugins: vec![json!({ "type": "bridge" }), ports([2000, 2001])],
            before: None,
        };
        assert_eq!(list.of_pod(0).plugins[1], ports([2000, 2001]));
        assert_eq!(list.of_pod(3).plugins[1], ports([2006, 2007]));
    }
}
