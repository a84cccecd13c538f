//! `deploy/daemonset.yaml`: its objects belong together, and the agent gets exactly its needs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use clap::Parser;
use linkspan_harness::manifest;
use linkspan_node::arguments::Arguments;
use linkspan_node::list::{TEMPLATE, render};
use serde_json::{Value, json};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const IMAGE: &str = concat!("localhost/linkspan:", env!("CARGO_PKG_VERSION"));

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "{kind}");
    one
}

fn words(container: &Value) -> Vec<&str> {
    let args = container["args"].as_array().unwrap().iter();
    args.map(|word| word.as_str().unwrap()).collect()
}

/// The word after an argument.
fn after<'a>(words: &[&'a str], name: &str) -> &'a str {
    let at = words.iter().position(|word| *word == name).unwrap();
    words[at + 1]
}

#[test]
fn the_agent_takes_its_command_line_and_finds_its_files() {
    let Some(objects) = manifest::objects(&Path::new(DEPLOY).join("daemonset.yaml")) else {
        return;
    };
    let spec = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let agent = &spec["containers"][0];
    assert_eq!(agent["command"], json!(["/linkspan-node"]));
    let words = words(agent);
    let line = [
        &["linkspan-node", "--node", "n1", "--pod-uid", "u1"],
        &words[..],
    ]
    .concat();
    Arguments::try_parse_from(line).unwrap();
    assert_eq!(agent["env"][0]["name"], "NODE_NAME");
    assert_eq!(
        agent["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
        "spec.nodeName"
    );
    // Each file is in a volume: files of the node are at the same place in the container.
    let volumes = spec["volumes"].as_array().unwrap();
    let volume = |path: &str| {
        let mounts = agent["volumeMounts"].as_array().unwrap().iter();
        let mut mounts =
            mounts.filter(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()));
        let mount = mounts.next().unwrap();
        let mut volumes = volumes
            .iter()
            .filter(|volume| volume["name"] == mount["name"]);
        (volumes.next().unwrap(), mount["readOnly"] == true)
    };
    let paths = ["--list", "--leases"].map(|name| (after(&words, name), false));
    let sockets = words.iter().enumerate();
    let sockets = sockets.filter(|(_, word)| **word == "--cri");
    let sockets: Vec<(&str, bool)> = sockets.map(|(at, _)| (words[at + 1], true)).collect();
    assert_eq!(sockets.len(), 2);
    assert_eq!(agent["env"][1]["name"], "POD_UID");
    assert_eq!(
        agent["env"][1]["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.uid"
    );
    for (path, read_only) in paths.into_iter().chain(sockets) {
        let (volume, is_read_only) = volume(path);
        let of_node = volume["hostPath"]["path"].as_str().unwrap();
        assert!(
            path.starts_with(of_node) && read_only == is_read_only,
            "{path}"
        );
    }
    let template = after(&words, "--template");
    let map = of_kind(&objects, "ConfigMap");
    assert_eq!(
        volume(template).0["configMap"]["name"],
        map["metadata"]["name"]
    );
    let file = Path::new(template).file_name().unwrap().to_str().unwrap();
    let text = map["data"][file].as_str().unwrap();
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(value(text), value(TEMPLATE));
    render(text, &["10.244.1.0/24".parse().unwrap()], None).unwrap();
    // The suite judges in a directory that the image lacks.
    assert_eq!(volume("/tmp").0["emptyDir"], json!({}));
    assert_eq!(after(&words, "--linkspan"), "/linkspan");
}

#[test]
fn the_agent_has_few_rights_and_starts_before_there_is_a_network() {
    let Some(objects) = manifest::objects(&Path::new(DEPLOY).join("daemonset.yaml")) else {
        return;
    };
    let spec = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(spec["tolerations"], json!([{ "operator": "Exists" }]));
    let [install, agent] = ["initContainers", "containers"].map(|kind| &spec[kind][0]);
    for (container, capabilities) in [
        (install, json!({ "drop": ["ALL"] })),
        (agent, json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] })),
    ] {
        assert_eq!(container["image"], IMAGE);
        let security = &container["securityContext"];
        assert_eq!(security["capabilities"], capabilities);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    assert_eq!(install["args"], json!(["install", "/opt/cni/bin"]));
    let keeper = &spec["containers"][1];
    assert_eq!(keeper["args"], json!(["pause", "--watch", "/opt/cni/bin"]));
    assert_eq!(keeper["securityContext"], install["securityContext"]);
    for container in [install, agent, keeper] {
        assert_eq!(
            container["terminationMessagePolicy"],
            "FallbackToLogsOnError"
        );
    }
    assert!(spec["nodeSelector"]["kubernetes.io/arch"].is_string());
    let health = after(&words(agent), "--health");
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &agent[probe]["httpGet"];
        let asked = format!("{}:{}", get["host"].as_str().unwrap(), get["port"]);
        assert_eq!((asked.as_str(), &get["path"]), (health, &json!(path)));
    }
    // Only its account has its rights, and no others.
    let account = &of_kind(&objects, "ServiceAccount")["metadata"];
    assert_eq!(spec["serviceAccountName"], account["name"]);
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs });
    let of_cluster = [
        rule("nodes", &["get", "list", "watch"]),
        rule("nodes/status", &["patch"]),
    ];
    for (role, binding, rules) in [
        ("ClusterRole", "ClusterRoleBinding", json!(of_cluster)),
        ("Role", "RoleBinding", json!([rule("events", &["create"])])),
    ] {
        let (role, binding) = (of_kind(&objects, role), of_kind(&objects, binding));
        assert_eq!(role["rules"], rules);
        assert_eq!(binding["roleRef"]["kind"], role["kind"]);
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        let subject = json!({ "kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"] });
        assert_eq!(binding["subjects"], json!([subject]));
        assert_eq!(
            role["metadata"]["namespace"],
            binding["metadata"]["namespace"]
        );
    }
}
