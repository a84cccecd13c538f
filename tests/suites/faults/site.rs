//! A host with one container that stays, and one that comes and goes.

use std::fs;
use std::path::Path;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::with;
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::tool;
use serde_json::{Value, json};

/// The plugins of a list for the pod that publishes this port.
pub(crate) type Plugins = fn(&Lab, u16) -> Vec<Value>;

/// The container that stays, so that bridge, table and forwarding, which are shared, are there before.
const NEIGHBOUR: &str = "neighbour";
const POD: &str = "pod";

/// All that a plugin may touch, as sorted lines.
#[derive(PartialEq, Eq)]
struct State(Vec<String>);

/// The host at the step of the list that is to be hit.
pub(crate) struct Site<'a> {
    lab: &'a Lab,
    sandbox: Sandbox,
    _neighbour: Sandbox,
    conf: Value,
    before: State,
}

impl<'a> Site<'a> {
    /// The neighbour is attached, and the pod by the plugins before the `step`th.
    pub(crate) fn new(lab: &'a Lab, step: usize, plugins: Plugins) -> Self {
        let (sandbox, neighbour) = (lab.sandbox(), lab.sandbox());
        let mut previous = Value::Null;
        for conf in plugins(lab, 8080) {
            let conf = with(conf, &json!({ "prevResult": previous }));
            previous = call(lab, NEIGHBOUR, &neighbour, &conf).add();
        }
        let mut previous = Value::Null;
        let mut plugins = plugins(lab, 8081).into_iter();
        for conf in plugins.by_ref().take(step) {
            previous = call(lab, POD, &sandbox, &conf).add();
        }
        let conf = with(plugins.next().unwrap(), &json!({ "prevResult": previous }));
        // The kernel gives it 127.0.0.1 when it comes up for the first time.
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        lo.set_up().unwrap();
        lo.set_down().unwrap();
        let before = state(lab, &sandbox);
        Self {
            lab,
            sandbox,
            _neighbour: neighbour,
            conf,
            before,
        }
    }

    /// A call of the plugin for the pod.
    pub(crate) fn call(&self, verb: &str) -> Call {
        call(self.lab, POD, &self.sandbox, &self.conf).verb(verb)
    }

    /// GC where the neighbour alone is valid.
    pub(crate) fn gc(&self) -> Output {
        let valid = json!([{ "containerID": NEIGHBOUR, "ifname": ifname(&self.conf) }]);
        let conf = with(
            self.conf.clone(),
            &json!({ "cni.dev/valid-attachments": valid, "prevResult": null, "runtimeConfig": null }),
        );
        self.call("GC").conf(&conf).run()
    }

    /// What is not as it was before the plugin was called.
    pub(crate) fn changed(&self) -> Option<String> {
        let now = state(self.lab, &self.sandbox);
        let (State(now), State(before)) = (&now, &self.before);
        let only = |these: &[String], those: &[String], sign: &str| {
            let missing = these.iter().filter(|line| !those.contains(line));
            missing
                .map(|line| format!("{sign}{line}"))
                .collect::<Vec<_>>()
        };
        let lines = [only(now, before, "+"), only(before, now, "-")].concat();
        (now != before).then(|| format!("changed: {}", lines.join("; ")))
    }

    /// Whether the plugin keeps anything on the host: what is in the container alone goes with it, and GC does not learn
    /// where that is.
    pub(crate) fn is_on_host(&self) -> bool {
        self.conf["type"] != "loopback"
    }

    pub(crate) fn dir(&self) -> &Path {
        self.lab.dir()
    }
}

fn ifname(conf: &Value) -> &'static str {
    if conf["type"] == "loopback" {
        "lo"
    } else {
        "eth0"
    }
}

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, conf: &Value) -> Call {
    lab.plugin(conf["type"].as_str().unwrap())
        .of(id, sandbox)
        .env("CNI_IFNAME", ifname(conf))
        .conf(conf)
}

fn state(lab: &Lab, sandbox: &Sandbox) -> State {
    let (host, sandbox) = (Snapshot::of_host(lab), Snapshot::of_sandbox(sandbox));
    let within = sandbox
        .lines()
        .map(|line| format!("in the container: {line}"));
    let mut lines: Vec<_> = host.lines().map(str::to_owned).chain(within).collect();
    lines.extend(leases(lab));
    lines.extend(ruleset());
    lines.extend(sysctls());
    lines.sort();
    State(lines)
}

/// Each lease with its owner.
fn leases(lab: &Lab) -> Vec<String> {
    let told = |ip: String| {
        let lease = fs::read_to_string(lab.leases().join("net").join(&ip)).unwrap();
        format!("{ip} of {lease:?}")
    };
    lab.leased("net").into_iter().map(told).collect()
}

/// The ruleset as nft tells it; an order among elements does not mean anything.
fn ruleset() -> Vec<String> {
    let listed = tool::ruleset().unwrap_or_default();
    let words = listed.split(['{', '}', '\n', ',']);
    words.map(|word| word.trim().to_owned()).collect()
}

/// What outlives an attachment: the host's settings for all links, and for those that stay.
fn sysctls() -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for link in ["all", "default", "lo", "br0"] {
            let dir = format!("/proc/sys/net/{family}/conf/{link}");
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                // Some cannot be read.
                let value = fs::read_to_string(&path).unwrap_or_default();
                lines.push(format!("{} {}", path.display(), value.trim()));
            }
        }
    }
    let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    lines.push(format!("ip_forward {forwarding}"));
    lines
}
