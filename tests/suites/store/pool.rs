//! A network's pool of addresses, seen from outside: calls of the plugin, and the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::with;
use linkspan_harness::lab::go_plugins;
use nix::unistd::mkdtemp;
use serde_json::{Value, json};

/// The plugin: the binary under test by its name.
pub(crate) fn ours() -> &'static str {
    static LINK: LazyLock<String> = LazyLock::new(|| {
        let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-local");
        match symlink(env!("CARGO_BIN_EXE_linkspan"), &link) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => panic!("{err}"),
            _ => link.to_str().unwrap().to_owned(),
        }
    });
    &LINK
}

/// The Go plugin; if it is missing, the test prints a line about it.
pub(crate) fn go(what: &str) -> Option<String> {
    let path = go_plugins(what)?.join("host-local");
    Some(path.to_str().unwrap().to_owned())
}

/// A pool in a directory of its own, removed with it.
pub(crate) struct Pool {
    root: PathBuf,
    conf: Value,
}

impl Pool {
    /// One whose `ipam` has these members.
    pub(crate) fn new(test: &str, ipam: &Value) -> Self {
        // Process ids are not unique: a test in a separate machine always has the same ones.
        let name = format!("linkspan-pool-{test}-XXXXXX");
        let root = mkdtemp(&std::env::temp_dir().join(name)).unwrap();
        let base = json!({ "type": "host-local", "dataDir": root.join("networks") });
        let conf = json!({ "cniVersion": "1.1.0", "name": "net", "ipam": with(base, ipam) });
        Self { root, conf }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the leases.
    pub(crate) fn dir(&self) -> PathBuf {
        self.root.join("networks/net")
    }

    /// The directory of our own files beside it.
    pub(crate) fn beside(&self) -> PathBuf {
        self.root.join("networks/.linkspan/net")
    }

    /// The configuration, changed by `over`.
    pub(crate) fn conf(&self, over: &Value) -> Value {
        with(self.conf.clone(), over)
    }

    /// The configuration, with its `ipam` changed by `over`.
    pub(crate) fn ipam(&self, over: &Value) -> Value {
        self.conf(&json!({ "ipam": with(self.conf["ipam"].clone(), over) }))
    }

    /// A call for `id`'s `eth0`.
    pub(crate) fn call(&self, verb: &str, id: &str) -> Call {
        self.call_of(ours(), verb, id)
    }

    /// The same of another executable.
    pub(crate) fn call_of(&self, exe: &str, verb: &str, id: &str) -> Call {
        Call::new(Path::new(exe))
            .verb(verb)
            .env("CNI_CONTAINERID", id)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/nowhere")
            .netns("/nowhere/netns")
            .conf(&self.conf)
    }

    pub(crate) fn run(&self, verb: &str, id: &str) -> Output {
        self.call(verb, id).run()
    }

    /// ADD that must succeed; returns the address.
    pub(crate) fn add(&self, id: &str) -> String {
        address(&self.run("ADD", id).json())
    }

    pub(crate) fn del(&self, id: &str) {
        self.run("DEL", id).succeeded();
    }

    /// STATUS that also asks for room.
    pub(crate) fn strict_status(&self) -> Output {
        let conf = self.conf(&json!({ "strictStatus": true }));
        self.call("STATUS", "").conf(&conf).run()
    }

    /// GC that must succeed.
    pub(crate) fn gc(&self, valid: &[&str]) {
        self.call("GC", "")
            .conf(&self.valid(valid))
            .run()
            .succeeded();
    }

    /// The configuration for GC.
    pub(crate) fn valid(&self, ids: &[&str]) -> Value {
        let valid: Vec<_> = ids
            .iter()
            .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
            .collect();
        self.conf(&json!({ "cni.dev/valid-attachments": valid }))
    }

    /// Writes a file among the leases, as another program would.
    pub(crate) fn plant(&self, name: &str, content: &str) {
        fs::create_dir_all(self.dir()).unwrap();
        fs::write(self.dir().join(name), content).unwrap();
    }

    /// The leases: the content of each file named by an address.
    pub(crate) fn leases(&self) -> BTreeMap<IpAddr, String> {
        let entries = fs::read_dir(self.dir()).into_iter().flatten();
        let leases = entries.filter_map(|entry| {
            let entry = entry.unwrap();
            let ip = entry.file_name().to_str()?.parse().ok()?;
            Some((ip, fs::read_to_string(entry.path()).unwrap()))
        });
        leases.collect()
    }

    /// The ids that have leases.
    pub(crate) fn holders(&self) -> Vec<String> {
        let leases = self.leases();
        let mut ids: Vec<_> = leases
            .values()
            .map(|text| text.replace("\r\neth0", ""))
            .collect();
        ids.sort();
        ids
    }

    /// The names of the records, which all have a colon.
    pub(crate) fn records(&self) -> Vec<String> {
        let entries = fs::read_dir(self.beside()).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.contains(':')).collect();
        names.sort();
        names
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.root));
    }
}

/// The first address of a result, without its prefix.
pub(crate) fn address(result: &Value) -> String {
    let text = result["ips"][0]["address"].as_str().unwrap();
    text.split('/').next().unwrap().to_owned()
}
