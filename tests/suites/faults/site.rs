//! A host with one container that stays, and one that is attached and detached.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::with;
use linkspan_harness::fault::STRACE;
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::{table, tool};
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::rtnl::Rtnl;
use serde_json::{Value, json};

/// The plugins of a list for the pod that publishes this port.
pub(crate) type Plugins = fn(&Lab, u16) -> Vec<Value>;

/// The call to test.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The index of the tested plugin.
    step: usize,
    plugins: Plugins,
    /// Prepares the host; returns the environment of its plugins.
    prepare: fn(&Lab) -> Vec<(&'static str, String)>,
    /// Whether the fault hits a program that the plugin executes, and that has a stand-in.
    pub(crate) of_child: bool,
}

impl Case {
    /// The only plugin of its list.
    pub(crate) fn first(name: &'static str, plugins: Plugins) -> Self {
        Self {
            name,
            step: 0,
            plugins,
            prepare: |_| Vec::new(),
            of_child: false,
        }
    }

    /// Returns whether the kernel meets the plugins' requirements.
    pub(crate) fn can_attach(&self, lab: &Lab) -> bool {
        let plugins = (self.plugins)(lab, 8080);
        let mut kinds = plugins.iter().filter_map(|conf| conf["type"].as_str());
        let has_kinds = kinds.all(|kind| skip::can_attach(&lab.rtnl(), kind));
        let mut pairs = plugins.iter().filter_map(|conf| conf["device"].as_str());
        has_kinds && pairs.all(|device| skip::has_pair(&lab.rtnl(), device))
    }

    /// The plugin after the interface plugin.
    pub(crate) fn second(name: &'static str, plugins: Plugins) -> Self {
        Self {
            step: 1,
            ..Self::first(name, plugins)
        }
    }

    /// On a prepared host.
    pub(crate) fn on(self, prepare: fn(&Lab) -> Vec<(&'static str, String)>) -> Self {
        Self { prepare, ..self }
    }

    /// The fault hits the program with a stand-in.
    pub(crate) fn of_child(self) -> Self {
        Self {
            of_child: true,
            ..self
        }
    }
}

/// The container that stays, so that the shared bridge, table and forwarding exist before.
const NEIGHBOUR: &str = "neighbour";
const POD: &str = "pod";

/// All state that a plugin may change, as sorted lines.
#[derive(PartialEq, Eq)]
struct State(Vec<String>);

/// The host at the tested step of the list.
pub(crate) struct Site<'a> {
    lab: &'a Lab,
    sandbox: Sandbox,
    _neighbour: Sandbox,
    conf: Value,
    environment: Vec<(&'static str, String)>,
    pub(crate) of_child: bool,
    settings: Vec<PathBuf>,
    sysctls: Vec<(PathBuf, String)>,
    before: State,
}

impl<'a> Site<'a> {
    /// The neighbour is attached, and the pod by the plugins before the tested one.
    pub(crate) fn new(lab: &'a Lab, case: Case) -> Self {
        let environment = (case.prepare)(lab);
        let (sandbox, neighbour) = (lab.sandbox(), lab.sandbox());
        let add = |id: &str, sandbox: &Sandbox, conf: &Value| {
            environed(call(lab, id, sandbox, conf), &environment).add()
        };
        let mut previous = Value::Null;
        for conf in (case.plugins)(lab, 8080) {
            let conf = with(conf, &json!({ "prevResult": previous }));
            previous = add(NEIGHBOUR, &neighbour, &conf);
        }
        let mut previous = Value::Null;
        let mut plugins = (case.plugins)(lab, 8081).into_iter();
        for conf in plugins.by_ref().take(case.step) {
            previous = add(POD, &sandbox, &conf);
        }
        let conf = with(plugins.next().unwrap(), &json!({ "prevResult": previous }));
        // The kernel gives it 127.0.0.1 when it comes up for the first time.
        let lo = sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        lo.set_up().unwrap();
        lo.set_down().unwrap();
        if conf["type"] == "vrf" {
            // The kernel adds a rule with the first one, and never removes it.
            let first = LinkSpec::new("first", Kind::Vrf { table: 1 });
            sandbox.rtnl().create(&first).unwrap();
            let first = sandbox.rtnl().link_by_name("first").unwrap().unwrap();
            first.delete().unwrap();
        }
        let settings = settings();
        let before = state(lab, &sandbox, &settings);
        Self {
            lab,
            settings,
            sysctls: sandbox.netns.scope(|| sysctls(&conf)).unwrap(),
            sandbox,
            _neighbour: neighbour,
            conf,
            environment,
            of_child: case.of_child,
            before,
        }
    }

    /// A call of the plugin for the pod.
    pub(crate) fn call(&self, verb: &str) -> Call {
        let call = call(self.lab, POD, &self.sandbox, &self.conf).verb(verb);
        environed(call, &self.environment).env(STAND_IN_FOR, verb)
    }

    /// Gives the container's sysctls their first values: DEL leaves them to the end of the namespace, and ADD writes
    /// only those that differ.
    pub(crate) fn untune(&self) {
        let write = |(path, value): &(PathBuf, String)| fs::write(path, value).unwrap();
        let netns = &self.sandbox.netns;
        netns.scope(|| self.sysctls.iter().for_each(write)).unwrap();
    }

    /// GC with only the neighbour as valid.
    pub(crate) fn gc(&self) -> Output {
        let valid = json!([{ "containerID": NEIGHBOUR, "ifname": ifname(&self.conf) }]);
        let conf = with(
            self.conf.clone(),
            &json!({ "cni.dev/valid-attachments": valid, "prevResult": null, "runtimeConfig": null }),
        );
        self.call("GC").conf(&conf).run()
    }

    /// The differences from the state before the plugin was called.
    pub(crate) fn changed(&self) -> Option<String> {
        let now = state(self.lab, &self.sandbox, &self.settings);
        if now == self.before {
            return None;
        }
        let (State(now), State(before)) = (&now, &self.before);
        let only = |these: &[String], those: &[String], sign: &str| {
            let missing = these.iter().filter(|line| !those.contains(line));
            missing
                .map(|line| format!("{sign}{line}"))
                .collect::<Vec<_>>()
        };
        let lines = [only(now, before, "+"), only(before, now, "-")].concat();
        Some(format!("changed: {}", lines.join("; ")))
    }

    /// Returns whether the plugin has state on the host. State in the container goes with it, and GC does not know its
    /// place.
    pub(crate) fn is_on_host(&self) -> bool {
        const INSIDE: [&str; 9] = [
            "dummy",
            "ipvlan",
            "loopback",
            "macvlan",
            "route-override",
            "sbr",
            "tap",
            "vlan",
            "vrf",
        ];
        !INSIDE.iter().any(|kind| self.conf["type"] == *kind)
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

fn environed(call: Call, environment: &[(&str, String)]) -> Call {
    let set = |call: Call, (name, value): &(&str, String)| call.env(name, value);
    environment.iter().fold(call, set)
}

/// The verb for which a stand-in passes the fault on to its program. A failed ADD's undo uses another verb, which gets
/// no fault.
const STAND_IN_FOR: &str = "STAND_IN_FOR";

/// A stand-in for the program `real`.
pub(crate) fn stand_in(lab: &Lab, path: PathBuf, real: &Path) {
    let real = real.display();
    let body = format!(
        "[ \"$CNI_COMMAND\" = \"${STAND_IN_FOR}\" ] && exec ${STRACE} {real} \"$@\"\nexec {real} \"$@\""
    );
    lab.script_at(path, &body);
}

fn state(lab: &Lab, sandbox: &Sandbox, settings: &[PathBuf]) -> State {
    let sandbox_rtnl = sandbox.rtnl();
    let (host, sandbox) = (Snapshot::of_host(lab), Snapshot::of_sandbox(sandbox));
    let within = sandbox
        .lines()
        .map(|line| format!("in the container: {line}"));
    let mut lines: Vec<_> = host.lines().map(str::to_owned).chain(within).collect();
    lines.extend(leases(lab));
    lines.extend(backups(lab));
    lines.extend(notes(lab));
    lines.extend(queues(&lab.rtnl()));
    lines.extend(queues(&sandbox_rtnl));
    lines.extend(table::everything(lab));
    lines.extend(legacy());
    lines.extend(settings.iter().map(setting));
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

/// The ifbs, and the filters that redirect to them.
fn queues(rtnl: &Rtnl) -> Vec<String> {
    let mut lines = Vec::new();
    for link in rtnl.links().unwrap() {
        let held = [link.root_qdisc(), link.ingress_qdisc()].map(Result::unwrap);
        let made = held.into_iter().flatten().filter(|qdisc| qdisc.handle != 0);
        lines.extend(made.map(|qdisc| format!("{} {qdisc:?}", link.name)));
    }
    lines
}

/// The files of tuning and host-device.
fn backups(lab: &Lab) -> Vec<String> {
    let dirs =
        ["tuning", "tuning/.linkspan", "host-device"].map(|dir| fs::read_dir(lab.dir().join(dir)));
    let files = dirs.into_iter().flatten().flatten().flatten();
    let files = files.filter(|file| file.path().is_file());
    files
        .map(|file| format!("backup {}", file.path().display()))
        .collect()
}

/// The aliases of the host's devices.
fn notes(lab: &Lab) -> Vec<String> {
    let links = lab.rtnl().links().unwrap().into_iter();
    let devices = links.filter(|link| link.name.starts_with("nic"));
    devices
        .map(|link| format!("{} has the note {:?}", link.name, link.alias))
        .collect()
}

/// iptables-legacy, if it was used; a look would create its tables.
fn legacy() -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["ip", "ip6"] {
        let names = fs::read_to_string(format!("/proc/thread-self/net/{family}_tables_names"));
        if names.is_ok_and(|names| !names.is_empty()) {
            let saved = tool::tool(&format!("{family}tables-legacy-save"), &[]);
            let saved = saved.unwrap_or_default();
            let told = saved.lines().filter(|line| !line.starts_with('#'));
            // A chain's line ends with counters.
            let uncounted = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
            lines.extend(told.map(uncounted));
        }
    }
    lines
}

/// The files of settings that outlive an attachment: the host's settings for all links, and for links that stay.
fn settings() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/proc/sys/net/ipv4/ip_forward")];
    for family in ["ipv4", "ipv6"] {
        for link in ["all", "default", "lo", "br0"] {
            let dir = format!("/proc/sys/net/{family}/conf/{link}");
            let entries = fs::read_dir(dir).into_iter().flatten();
            paths.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    // Some cannot be read.
    paths.retain(|path| fs::read(path).is_ok());
    paths
}

/// The files that the configuration writes, and their values.
fn sysctls(conf: &Value) -> Vec<(PathBuf, String)> {
    let names = conf["sysctl"].as_object().into_iter().flatten();
    let read = |(name, _): (&String, &Value)| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let value = fs::read_to_string(&path).unwrap();
        (path, value)
    };
    names.map(read).collect()
}

fn setting(path: &PathBuf) -> String {
    let mut value = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut value));
    let value = read.map_or_else(
        |err| err.to_string(),
        |len| String::from_utf8_lossy(&value[..len]).into_owned(),
    );
    format!("{} {}", path.display(), value.trim())
}
