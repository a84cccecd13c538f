//! The command line as an operator uses it: JSON, exit statuses, completion, and the removal of unused state.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod back;
mod collect;
mod completion;
mod hints;
mod inspect;
mod jobs;
mod json;
mod remove;
mod system;
mod terminal;

use std::fs;
use std::os::unix::fs::symlink;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A node with the network `net`, and the pod `prod/web-0` with the id `c1`, which publishes a port.
struct Node<'a> {
    lab: &'a Lab,
    pod: Sandbox,
}

impl<'a> Node<'a> {
    fn new(lab: &'a Lab) -> Self {
        Self::of(lab, &json!({}))
    }

    /// The same with more keys of the bridge.
    fn of(lab: &'a Lab, keys: &Value) -> Self {
        let node = Self::empty(lab);
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let plugins = json!([bridge(lab, keys), portmap]);
        node.write("10-net.conflist", "net", &plugins);
        node.add("net", "c1", &node.pod);
        node
    }

    /// A node without a network.
    fn empty(lab: &'a Lab) -> Self {
        for dir in ["net.d", "tmp"] {
            fs::create_dir_all(lab.dir().join(dir)).unwrap();
        }
        Self {
            lab,
            pod: lab.sandbox(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.lab.dir().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, file: &str, name: &str, plugins: &Value) {
        let list = json!({ "cniVersion": "1.1.0", "name": name, "plugins": plugins });
        let path = self.lab.dir().join("net.d").join(file);
        fs::write(path, list.to_string()).unwrap();
    }

    fn call(&self, args: &[&str]) -> Call {
        self.lab
            .linkspan(&["--cache-dir", &self.path("cache")])
            .args(&["--net-dir", &self.path("net.d")])
            .args(args)
            .env("CNI_PATH", &self.path("bin"))
            .env("TMPDIR", &self.path("tmp"))
    }

    /// An attachment whose namespace is gone. Only its path is remembered: another test's namespace may get its
    /// number.
    fn add_dead(&self, network: &str, id: &str) {
        let sandbox = self.lab.sandbox();
        let path = self.lab.dir().join(format!("of-{id}"));
        symlink(sandbox.path(), &path).unwrap();
        self.add_at(network, id, path.to_str().unwrap());
        fs::remove_file(path).unwrap();
        fs::remove_dir_all(self.lab.dir().join("cache/linkspan")).unwrap();
    }

    fn add(&self, network: &str, id: &str, sandbox: &Sandbox) {
        self.add_at(network, id, &sandbox.path());
    }

    fn add_at(&self, network: &str, id: &str, netns: &str) {
        let ports = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
        let add = self.call(&["add", network, netns, "--container-id", id]);
        let add = add.env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-0",
        );
        let is_first = id == "c1";
        let add = if is_first {
            add.env("CAP_ARGS", &json!({ "portMappings": ports }).to_string())
        } else {
            add
        };
        add.run().succeeded();
    }
}
