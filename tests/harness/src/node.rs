//! A node for one test, for unmodified container engines: their directories, control groups and plugins.
//!
//! It is a machine with a laboratory in it. Engines find the machine's files at their usual paths, and their own files
//! there go with the test: `/run` is empty, `/etc`, `/opt` and `/var/lib` are overlaid.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::watch::Watch;
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use crate::call::{Call, Running};
use crate::cgroup::Cgroup;
use crate::image;
use crate::lab::{Lab, in_lab, test_name};
use crate::machine;
use crate::{forks, skip, table};

/// The directory of containers, and of the overlays' upper halves.
const HOME: &str = "/run/node";

/// The engines' directory of plugins.
const BIN: &str = "/opt/cni/bin";

/// The directory of the plugins behind [`Node::witness`].
const BEHIND: &str = "/opt/cni/behind";

/// The engines' directory of networks.
const NET_D: &str = "/etc/cni/net.d";

/// The engines' path for programs other than plugins.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const WITNESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/doubles/witness");

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// An engine's requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// A user namespace suffices.
    AnyUser,
    /// Separate devices, quotas and control groups.
    Root,
}

/// A node. It goes with the test, along with every process on it.
#[derive(Debug)]
pub struct Node<'a> {
    /// The node's network, and the world around it.
    pub lab: &'a Lab,
    _cgroup: Option<Cgroup>,
}

/// Runs `body` on a node with our plugins installed. Skipped with a line if one of `tools` is missing, or the node
/// cannot be made.
pub fn in_node<F: FnOnce(&Node<'_>) + Send>(bundle: &str, user: As, tools: &[&str], body: F) {
    let name = test_name::<F>();
    if skip::lacks(&name, tools) {
        return;
    }
    if user == As::Root && !machine::is_root() {
        return skip::tell_of(&name, "the engine needs root");
    }
    machine::in_machine_as(&name, || {
        in_lab(bundle, |lab| {
            mount_places();
            let node = Node {
                lab,
                _cgroup: Cgroup::enter(Path::new(HOME)),
            };
            node.lab.linkspan(&["install", "-p", BIN]).run().succeeded();
            fs::create_dir_all(NET_D).unwrap();
            body(&node);
        });
    });
}

fn mount_places() {
    let none = None::<&str>;
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "/run", tmpfs, MsFlags::empty(), Some("mode=755")).unwrap();
    for place in ["/etc", "/opt", "/var/lib"] {
        let [upper, work] = ["upper", "work"].map(|half| format!("{HOME}{place}/{half}"));
        for half in [&upper, &work] {
            fs::create_dir_all(half).unwrap();
        }
        let layers = format!("lowerdir={place},upperdir={upper},workdir={work}");
        let overlay = Some("overlay");
        mount(overlay, place, overlay, MsFlags::empty(), Some(&*layers)).unwrap();
    }
    // Not below an overlay: an engine may make its own there, and an ordinary user cannot copy a directory up.
    for place in [
        "/etc/cni",
        "/opt/cni",
        "/var/lib/cni",
        "/var/lib/containerd",
        "/var/lib/containers",
        "/var/tmp",
        "/dev/shm",
    ] {
        fs::create_dir_all(place).unwrap();
        mount(tmpfs, place, tmpfs, MsFlags::empty(), none).unwrap();
    }
}

impl Node<'_> {
    /// The test's own directory on the node.
    pub fn home(&self) -> &Path {
        Path::new(HOME)
    }

    /// The directory of plugins.
    pub fn bin(&self) -> &Path {
        Path::new(BIN)
    }

    /// The directory of networks.
    pub fn net_d(&self) -> &Path {
        Path::new(NET_D)
    }

    /// Puts a list into the directory of networks.
    pub fn network(&self, file: &str, list: &Value) {
        fs::write(self.net_d().join(file), list.to_string()).unwrap();
    }

    /// A call of a program of the system, with the node's home for its own.
    pub fn call(&self, program: &str, args: &[&str]) -> Call {
        let found = skip::without(program).expect("in_node has looked it up");
        let call = Call::new(&found).args(args);
        call.env("PATH", PATH).env("HOME", HOME)
    }

    /// Starts a daemon, which ends with the node. Its output is in a file with its name at home.
    pub fn daemon(&self, program: &str, args: &[&str]) -> Running {
        const SCRIPT: &str = r#"log=$0; exec "$@" >>"$log" 2>&1"#;
        let log = self.home().join(format!("{program}.log"));
        let shell = ["/bin/sh", "-c", SCRIPT, log.to_str().unwrap()];
        self.call(program, args).under(&shell).spawn()
    }

    /// A `config.json` for a container of busybox that executes `args`.
    pub fn spec(&self, args: &[&str]) -> Value {
        image::spec(self.home(), args)
    }

    /// An image of busybox under `name`, as an OCI archive.
    pub fn image(&self, name: &str) -> PathBuf {
        image::archive(self.home(), name)
    }

    /// The namespace of the process `pid`.
    pub fn netns_of(&self, pid: u64) -> Netns {
        Netns::open(Path::new(&format!("/proc/{pid}/ns/net"))).unwrap()
    }

    fn linkspan(&self, args: &[&str]) -> Value {
        let call = Call::new(&self.bin().join("linkspan"));
        call.args(args).run().json()
    }

    /// The remembered attachments, as `CONTAINER INTERFACE`. Every engine with libcni remembers them in one place.
    pub fn attached(&self) -> Vec<String> {
        let list = self.linkspan(&["list", "--json"]);
        let of = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let entries = list.as_array().unwrap().iter();
        entries
            .map(|entry| format!("{} {}", of(entry, "container"), of(entry, "interface")))
            .collect()
    }

    /// The published ports, from `linkspan ports`.
    pub fn ports(&self) -> Vec<Value> {
        let ports = self.linkspan(&["ports", "--json"]);
        ports.as_array().unwrap().clone()
    }

    /// The leased addresses of every network.
    pub fn leases(&self) -> Vec<String> {
        let files = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
        let networks = files(PathBuf::from("/var/lib/cni/networks"));
        let leases = networks.flat_map(|network| files(network.path()));
        let names = leases.map(|lease| lease.file_name().into_string().unwrap());
        names
            .filter(|name| name.parse::<IpAddr>().is_ok())
            .collect()
    }

    /// The names of the node's interfaces.
    pub fn links(&self) -> Vec<String> {
        let links = self.lab.rtnl().links().unwrap();
        links.into_iter().map(|link| link.name).collect()
    }

    /// Asserts that no attachment, lease, port or pair is left, and that our table is empty. Pairs go with their
    /// namespaces, which the kernel removes some time after the last process has ended.
    pub fn is_clean(&self) {
        let left = (self.attached(), self.leases(), self.ports());
        assert_eq!(left, (Vec::new(), Vec::new(), Vec::new()));
        assert_eq!(table::elements(self.lab), [""; 0]);
        let rtnl = self.lab.rtnl();
        let mut watch = Watch::open(Some(self.lab.host())).unwrap();
        let is_pair = |link: &Link| link.name.starts_with("veth");
        let gone = watch.until(DEADLINE, || {
            Ok((!rtnl.links()?.iter().any(is_pair)).then_some(()))
        });
        assert!(gone.unwrap().is_some(), "{:?}", self.links());
    }

    /// From here on, a witness records each call of `plugins`, and lets the plugin answer.
    pub fn witness(&self, plugins: &[&str]) {
        fs::create_dir_all(BEHIND).unwrap();
        for name in plugins {
            let plugin = self.bin().join(name);
            fs::rename(&plugin, Path::new(BEHIND).join(name)).unwrap();
            forks::none(|| fs::copy(WITNESS, &plugin)).unwrap();
        }
    }

    /// The calls recorded since the last look, in order.
    pub fn asked(&self) -> Vec<Value> {
        let notes = self.home().join("asked");
        let noted = fs::read_to_string(&notes).unwrap_or_default();
        drop(fs::remove_file(&notes));
        let lines = noted.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}
