//! The image, and the manifest of `deploy` with one list for all nodes, on a node without our files: podman builds the
//! image, without a network, and plays the manifest.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use linkspan_cli::linkspan::command;
use linkspan_harness::lab::PLUGINS;
use linkspan_harness::manifest;
use linkspan_harness::node::{As, Node, in_node};
use linkspan_harness::podman;
use linkspan_harness::server::is_published;
use linkspan_harness::skip;
use linkspan_harness::world::beyond;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const EXAMPLE: &str = include_str!("../../conf-examples/bridge.conflist");
const IMAGE: &str = concat!("localhost/linkspan:", env!("CARGO_PKG_VERSION"));
/// The container that keeps the pod.
const WAITS: &str = "linkspan-installed";
const SLEEPER: &str = "localhost/sleeper:latest";
const TOOLS: [&str; 6] = [
    "podman",
    "conmon",
    "crun",
    "catatonit",
    "busybox",
    "python3",
];

/// Names only the directory of plugins that the manifest fills.
const NETWORK: &str = r#"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
"#;

/// The objects of the manifest: its `ConfigMap` and its `DaemonSet`.
fn manifest() -> Option<(Value, Value)> {
    let objects = manifest::objects(&Path::new(DEPLOY).join("one-list.yaml"))?;
    let [account, list, set] = <[Value; 3]>::try_from(objects).unwrap();
    assert_eq!(
        [&account["kind"], &list["kind"], &set["kind"]],
        ["ServiceAccount", "ConfigMap", "DaemonSet"]
    );
    // Its own account, which nobody has given a right.
    let template = &set["spec"]["template"]["spec"];
    assert_eq!(template["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(account["automountServiceAccountToken"], false);
    Some((list, set))
}

/// The pod that the cluster would create from it on a node.
fn pod(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let metadata = json!({ "name": "linkspan", "labels": template["metadata"]["labels"] });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
}

/// The one file in the `ConfigMap`.
fn list_of(list: &Value) -> (&str, &str) {
    let files = list["data"].as_object().unwrap();
    assert_eq!(files.len(), 1);
    let (name, text) = files.iter().next().unwrap();
    (name, text.as_str().unwrap())
}

/// The words of the readiness probe behind the binary's path, which are a command line of ours.
fn probe(container: &Value) -> &[Value] {
    let command_line = container["readinessProbe"]["exec"]["command"].as_array();
    let (binary, words) = command_line.unwrap().split_first().unwrap();
    assert_eq!(binary, "/linkspan");
    let line = words.iter().map(|word| word.as_str().unwrap());
    let line = ["linkspan"].into_iter().chain(line);
    command().try_get_matches_from(line).unwrap();
    words
}

#[test]
fn the_manifest_is_for_the_nodes_of_its_image() {
    let Some((_, set)) = manifest() else {
        return;
    };
    let nodes = &set["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(nodes["kubernetes.io/os"], "linux");
    assert!(nodes["kubernetes.io/arch"].is_string());
}

#[test]
fn the_manifest_is_of_one_piece() {
    let Some((list, set)) = manifest() else {
        return;
    };
    let (file, text) = list_of(&list);
    let [text, example]: [Value; 2] =
        [text, EXAMPLE].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(text, example);
    let spec = &set["spec"]["template"]["spec"];
    // Without a pod network, the host's is used. The manifest must run on nodes that are not ready.
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(spec["tolerations"], json!([{ "operator": "Exists" }]));
    let [install, pause] = ["initContainers", "containers"].map(|kind| &spec[kind][0]);
    for container in [install, pause] {
        assert_eq!(container["image"], IMAGE);
        let security = &container["securityContext"];
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        let words = container["args"].as_array().unwrap().iter();
        let words = words.map(|word| word.as_str().unwrap());
        let line = ["linkspan"].into_iter().chain(words);
        command().try_get_matches_from(line).unwrap();
        assert_eq!(
            container["terminationMessagePolicy"],
            "FallbackToLogsOnError"
        );
    }
    let probe = probe(pause);
    // A directory of the node is the same one in the container, and the source of the installation is the ConfigMap.
    let volume = |mount: &Value| {
        let volumes = spec["volumes"].as_array().unwrap().iter();
        let mut volumes = volumes.filter(|volume| volume["name"] == mount["name"]);
        volumes.next().unwrap().clone()
    };
    let mut places = Vec::new();
    for mount in install["volumeMounts"].as_array().unwrap() {
        let (volume, at) = (volume(mount), mount["mountPath"].as_str().unwrap());
        if !volume["hostPath"].is_null() {
            assert_eq!(volume["hostPath"]["path"], at);
            places.push(at.to_owned());
        } else if !volume["configMap"].is_null() {
            assert_eq!(volume["configMap"]["name"], list["metadata"]["name"]);
            places.push(format!("{at}/{file}"));
        }
    }
    let [bin, net_d, from] = <[String; 3]>::try_from(places).unwrap();
    let args = ["install", &bin, "--conflist", &from, "--net-dir", &net_d];
    assert_eq!(install["args"], json!(args));
    // The kept and the probed files are the installed ones.
    let kept = [
        "pause",
        "--watch",
        &bin,
        "--conflist",
        &from,
        "--net-dir",
        &net_d,
    ];
    assert_eq!(pause["args"], json!(kept));
    let asked = [
        "install",
        &bin,
        "--check",
        "--conflist",
        &from,
        "--net-dir",
        &net_d,
    ];
    assert_eq!(probe, asked.map(|word| json!(word)));
    assert_eq!(pause["volumeMounts"], install["volumeMounts"]);
    let recipe = fs::read_to_string(Path::new(DEPLOY).join("Containerfile")).unwrap();
    assert!(recipe.contains(IMAGE), "the comment names another version");
}

#[test]
fn the_end_of_all_is_for_nodes_that_are_told_and_has_few_rights() {
    let file = Path::new(DEPLOY).join("uninstall.yaml");
    let Some(objects) = manifest::objects(&file) else {
        return;
    };
    let [account, set] = <[Value; 2]>::try_from(objects).unwrap();
    let spec = &set["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(spec["nodeSelector"]["linkspan.org/uninstall"], "true");
    let [uninstall, clear] = [0, 1].map(|at| &spec["initContainers"][at]);
    for (container, capabilities) in [
        (uninstall, json!({ "drop": ["ALL"] })),
        (clear, json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] })),
        (&spec["containers"][0], json!({ "drop": ["ALL"] })),
    ] {
        assert_eq!(container["image"], IMAGE);
        assert_eq!(container["securityContext"]["capabilities"], capabilities);
        assert_eq!(
            container["terminationMessagePolicy"],
            "FallbackToLogsOnError"
        );
        let words = container["args"].as_array().unwrap().iter();
        let words = words.map(|word| word.as_str().unwrap());
        let line = ["linkspan"].into_iter().chain(words);
        command().try_get_matches_from(line).unwrap();
    }
    // It removes the file that the other manifests install, and sees what lives.
    let words = uninstall["args"].to_string();
    let Some((list, _)) = manifest() else {
        return;
    };
    assert!(words.contains(list_of(&list).0), "{words}");
    for container in [uninstall, clear] {
        let mounts = container["volumeMounts"].to_string();
        assert!(mounts.contains("/var/lib/cni"), "{mounts}");
    }
}

#[test]
fn a_node_gets_what_the_manifest_says_and_runs_pods_from_there() {
    in_node(LINKSPAN, As::Root, &TOOLS, |node| {
        let Some((list, set)) = manifest() else {
            return;
        };
        if !can_play() {
            return;
        }
        for name in PLUGINS.iter().chain(&["linkspan"]) {
            fs::remove_file(node.bin().join(name)).unwrap();
        }
        podman::configure(NETWORK);
        let does = |args: &[&str]| {
            let args = [&podman::UNUSED_GROUPS, args].concat();
            let told = node.call("podman", &args).run();
            told.succeeded().trim().to_owned()
        };
        let recipe = format!("{DEPLOY}/Containerfile");
        let context = context(node);
        does(&[
            "build",
            "--network",
            "none",
            "-f",
            &recipe,
            "-t",
            IMAGE,
            context.to_str().unwrap(),
        ]);
        let objects = node.home().join("objects.yaml");
        fs::write(&objects, format!("{list}\n---\n{}\n", pod(&set))).unwrap();
        does(&["kube", "play", objects.to_str().unwrap()]);
        is_installed(node, list_of(&list));
        has_notices_and_the_agent(node, &does);
        // A pod of the installed network, with the installed plugins.
        let world = beyond(node.lab);
        does(&["load", "-i", node.image(SLEEPER).to_str().unwrap()]);
        let network = ["--network", "linkspan"];
        let ports = ["-p", "8080:80/tcp", "-p", "8080:80/udp"];
        does(
            &[
                &["run", "-d", "--name", "c1"],
                &network[..],
                &ports,
                &[SLEEPER],
            ]
            .concat(),
        );
        let pid = does(&["inspect", "--format", "{{.State.Pid}}", "c1"]);
        let c1 = node.netns_of(pid.parse().unwrap());
        is_published(node.lab.host(), &[&world.netns], &c1, (8080, 80));
        drop(c1);
        does(&["rm", "-t", "0", "-f", "c1"]);
        node.is_clean();
        // An idle container ends when it is asked to, not only when it is killed.
        does(&["stop", "-t", "20", WAITS]);
        assert_eq!(
            does(&["inspect", "--format", "{{.State.ExitCode}}", WAITS]),
            "0"
        );
        does(&["kube", "down", objects.to_str().unwrap()]);
    });
}

/// Asserts that the image has the other files that belong to the plugins.
fn has_notices_and_the_agent(node: &Node<'_>, does: &dyn Fn(&[&str]) -> String) {
    let told = node.home().join("told");
    let of_image = format!("{WAITS}:/usr/share/doc/linkspan");
    does(&["cp", &of_image, told.to_str().unwrap()]);
    for file in [
        "LICENSE",
        "NOTICES",
        "NOTICES.node",
        "LGPL-2.1",
        "linkspan.cdx.json",
    ] {
        assert!(fs::metadata(told.join(file)).unwrap().len() > 0, "{file}");
    }
    let version = [
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "/linkspan-node",
    ];
    let version = [&version[..], &[IMAGE, "--version"]].concat();
    let expected = concat!("linkspan-node ", env!("CARGO_PKG_VERSION"));
    assert_eq!(does(&version), expected);
}

/// Returns whether podman can play the manifest with the image; prints a line if not.
fn can_play() -> bool {
    // `podman kube play` uses the controllers of version 2, whatever its settings for groups.
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    if controllers.is_ok_and(|controllers| controllers.trim().is_empty()) {
        skip::tell("podman kube play: control groups of version 2 have no controllers here");
        return false;
    }
    if !agent().exists() {
        skip::tell("needs the agent beside the plugins (cargo build -p linkspan-node)");
        return false;
    }
    true
}

/// The cluster agent, which the image has, too.
fn agent() -> PathBuf {
    Path::new(LINKSPAN).with_file_name("linkspan-node")
}

/// A directory with the recipe's inputs from the root of the source.
fn context(node: &Node<'_>) -> PathBuf {
    let context = node.home().join("context");
    let notices = context.join("deploy/notices");
    fs::create_dir_all(&notices).unwrap();
    fs::create_dir_all(context.join("target/release")).unwrap();
    fs::copy(LINKSPAN, context.join("target/release/linkspan")).unwrap();
    fs::copy(agent(), context.join("target/release/linkspan-node")).unwrap();
    fs::copy(format!("{DEPLOY}/../LICENSE"), context.join("LICENSE")).unwrap();
    for file in fs::read_dir(format!("{DEPLOY}/notices")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), notices.join(file.file_name())).unwrap();
    }
    context
}

/// Asserts that the node has the plugins as links to one executable, and the list readable only to its owner.
fn is_installed(node: &Node<'_>, (file, text): (&str, &str)) {
    let meta = |path: &Path| fs::symlink_metadata(path).unwrap();
    let copy = meta(&node.bin().join("linkspan"));
    for name in PLUGINS {
        let plugin = meta(&node.bin().join(name));
        assert_eq!(
            (plugin.ino(), plugin.mode() & 0o7777),
            (copy.ino(), 0o755),
            "{name}"
        );
    }
    let there = node.net_d().join(file);
    assert_eq!(fs::read_to_string(&there).unwrap(), text);
    let there = meta(&there);
    assert!(there.is_file());
    assert_eq!((there.uid(), there.mode() & 0o7777), (0, 0o600));
}
