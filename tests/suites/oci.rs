//! runc and crun, from Debian and unmodified, with `linkspan oci-hook` and no engine at all.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::lab::Sandbox;
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::server::{Server, is_published};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::{HOST, beyond};
use linkspan_netlink::netns::Netns;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const DOCUMENTATION: &str = include_str!("../../docs/runtime.md");

/// The network of README.
const BRIDGE: &str = include_str!("../../conf-examples/bridge.conflist");

/// An OCI runtime on a node, with bundles.
struct Oci<'a> {
    node: &'a Node<'a>,
    runtime: &'static str,
}

/// A node with README's network, where `runtime` runs containers.
fn with(runtime: &'static str, body: impl FnOnce(&Oci<'_>) + Send) {
    in_node(LINKSPAN, As::AnyUser, &[runtime, "busybox"], |node| {
        fs::write(node.net_d().join("10-linkspan.conflist"), BRIDGE).unwrap();
        body(&Oci { node, runtime });
    });
}

impl Oci<'_> {
    /// The `config.json` of docs/runtime.md, with the minimum of other keys that both runtimes accept.
    fn config(&self) -> Value {
        let (_, rest) = DOCUMENTATION.split_once("```json\n").unwrap();
        let (fragment, _) = rest.split_once("```").unwrap();
        let mut config: Value = serde_json::from_str(fragment).unwrap();
        for (key, value) in self.node.spec(&["sleep", "100000"]).as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    /// The same without ports.
    fn plain(&self) -> Value {
        let mut config = self.config();
        config["annotations"] = json!({ "org.linkspan.network": "linkspan" });
        config
    }

    fn bundle(&self, name: &str, config: &Value) -> PathBuf {
        let bundle = self.node.home().join(name);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    fn call(&self, args: &[&str]) -> Call {
        let root = self.node.home().join(self.runtime);
        let root = ["--root", root.to_str().unwrap()];
        self.node.call(self.runtime, &root).args(args)
    }

    /// Creates the container `name`. It inherits the runtime's output, so that is a file.
    fn create(&self, name: &str, config: &Value) -> Output {
        const SCRIPT: &str = r#""$@" >"$0" 2>&1; status=$?; cat "$0" >&2; exit $status"#;
        let bundle = self.bundle(name, config);
        let told = bundle.join("told");
        let call = self.call(&["create", "--bundle", bundle.to_str().unwrap(), name]);
        let shell = ["/bin/sh", "-c", SCRIPT, told.to_str().unwrap()];
        call.under(&shell).run()
    }

    /// Asserts that `name` cannot be created, that the runtime reports the reason, and that nothing is left.
    fn refuses(&self, name: &str, config: &Value, why: &str) {
        let hooks_say = self.node.home().join("hooks");
        drop(fs::remove_file(&hooks_say));
        let mut config = config.clone();
        // crun hides the output of hooks unless it is asked for.
        config["annotations"]["run.oci.hooks.stderr"] = json!(hooks_say);
        let refused = self.create(name, &config);
        let told =
            fs::read_to_string(&hooks_say).unwrap_or_else(|_| refused.stderr.replace('\\', ""));
        assert!(refused.status != 0 && told.contains(why), "{told}");
        self.call(&["delete", "--force", name]).run();
    }

    fn start(&self, name: &str, config: &Value) -> Netns {
        self.create(name, config).succeeded();
        self.call(&["start", name]).run().succeeded();
        let state = self.call(&["state", name]).run().json();
        self.node.netns_of(state["pid"].as_u64().unwrap())
    }

    fn delete(&self, name: &str) {
        self.call(&["delete", "--force", name]).run().succeeded();
    }
}

fn the_fragment_of_the_readme_publishes_a_port(oci: &Oci<'_>) {
    let world = beyond(oci.node.lab);
    let c1 = oci.start("c1", &oci.config());
    let c2 = oci.start("c2", &oci.plain());
    assert_eq!(oci.node.attached(), ["c1 eth0", "c2 eth0"]);
    assert_eq!(oci.node.leases().len(), 4);
    let ports = (8080, 80);
    is_published(oci.node.lab.host(), &[&world.netns, &c2], &c1, ports);
    // A held namespace stays.
    drop((c1, c2));
    oci.delete("c1");
    assert_eq!(oci.node.attached(), ["c2 eth0"]);
    assert!(oci.node.ports().is_empty());
    oci.delete("c2");
    oci.node.is_clean();
    // The name is free again.
    oci.start("c1", &oci.config());
    oci.delete("c1");
    oci.node.is_clean();
}

#[test]
fn runc_publishes_a_port_by_the_fragment_of_the_readme() {
    with("runc", the_fragment_of_the_readme_publishes_a_port);
}

#[test]
fn crun_publishes_a_port_by_the_fragment_of_the_readme() {
    with("crun", the_fragment_of_the_readme_publishes_a_port);
}

fn what_cannot_be_attached_is_not_created(oci: &Oci<'_>) {
    let annotated = |network: &str, ports: &str| {
        let mut config = oci.config();
        config["annotations"] =
            json!({ "org.linkspan.network": network, "org.linkspan.ports": ports });
        config
    };
    let missing = "no net configuration with name \"other\" in /etc/cni/net.d";
    oci.refuses("c1", &annotated("other", ""), missing);
    let unnamed = "no network is named; hint: give --net NAME";
    oci.refuses("c1", &annotated("", ""), unnamed);
    let garbled = "invalid published port \"8080\"; hint: write [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]";
    oci.refuses("c1", &annotated("linkspan", "8080"), garbled);
    let lonely =
        json!({ "cniVersion": "1.1.0", "name": "lonely", "plugins": [{ "type": "loopback" }] });
    oci.node.network("20-lonely.conflist", &lonely);
    let unpublished = "no plugin of the network \"lonely\" publishes ports";
    oci.refuses("c1", &annotated("lonely", "8080:80"), unpublished);
    oci.node.is_clean();
    // Another container's port. The last plugin of the list refuses it.
    oci.start("c1", &oci.config());
    let before = (oci.node.attached(), oci.node.leases(), oci.node.links());
    oci.refuses("c2", &oci.config(), "c1");
    assert_eq!(
        (oci.node.attached(), oci.node.leases(), oci.node.links()),
        before
    );
    oci.delete("c1");
    oci.node.is_clean();
}

#[test]
fn runc_creates_nothing_that_cannot_be_attached() {
    with("runc", what_cannot_be_attached_is_not_created);
}

#[test]
fn crun_creates_nothing_that_cannot_be_attached() {
    with("crun", what_cannot_be_attached_is_not_created);
}

fn a_container_that_failed_after_the_hook_can_be_created_again(oci: &Oci<'_>) {
    let mut broken = oci.config();
    let hooks = broken["hooks"]["createRuntime"].as_array_mut().unwrap();
    hooks.push(json!({ "path": "/bin/false" }));
    oci.refuses("c1", &broken, "");
    let _world = beyond(oci.node.lab);
    let c1 = oci.start("c1", &oci.config());
    is_published(oci.node.lab.host(), &[], &c1, (8080, 80));
    drop(c1);
    assert_eq!((oci.node.attached().len(), oci.node.leases().len()), (1, 2));
    oci.delete("c1");
    oci.node.is_clean();
}

#[test]
fn runc_creates_a_container_again_that_failed_after_the_hook() {
    with(
        "runc",
        a_container_that_failed_after_the_hook_can_be_created_again,
    );
}

/// crun calls no poststop for it.
#[test]
fn crun_creates_a_container_again_that_failed_after_the_hook() {
    with(
        "crun",
        a_container_that_failed_after_the_hook_can_be_created_again,
    );
}

fn a_namespace_that_was_given_is_attached_and_left_bare(oci: &Oci<'_>) {
    let given: Sandbox = oci.node.lab.sandbox();
    let before = Snapshot::of_sandbox(&given);
    let mut config = oci.plain();
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces[2]["path"] = json!(given.path());
    // Arguments take precedence over annotations, and a second hook attaches to a second network.
    for hook in ["createRuntime", "poststop"] {
        let hooks = config["hooks"][hook].as_array_mut().unwrap();
        let mut second = hooks[0].clone();
        let args = second["args"].as_array_mut().unwrap();
        args.extend(
            [
                "--ifname",
                "eth1",
                "--publish",
                "[::1]:53:54/udp",
                "--publish",
                "81:82",
                "--publish",
                "81:82/udp",
            ]
            .map(|arg| json!(arg)),
        );
        hooks.push(second);
    }
    oci.start("c1", &config);
    assert_eq!(oci.node.attached(), ["c1 eth0", "c1 eth1"]);
    let links = given.rtnl().links().unwrap();
    let names: Vec<&str> = links.iter().map(|link| &*link.name).collect();
    assert_eq!(names, ["lo", "eth0", "eth1"]);
    let host: IpAddr = HOST[0].parse().unwrap();
    let _world = beyond(oci.node.lab);
    let server = Server::of(&given.netns, 82, Family::V4);
    server.answers(oci.node.lab.host(), SocketAddr::new(host, 81));
    assert_eq!(oci.node.ports().len(), 5);
    oci.delete("c1");
    oci.node.is_clean();
    assert_eq!(Snapshot::of_sandbox(&given), before);
}

#[test]
fn runc_attaches_a_namespace_that_was_given_and_leaves_it_bare() {
    with("runc", a_namespace_that_was_given_is_attached_and_left_bare);
}

#[test]
fn crun_attaches_a_namespace_that_was_given_and_leaves_it_bare() {
    with("crun", a_namespace_that_was_given_is_attached_and_left_bare);
}
