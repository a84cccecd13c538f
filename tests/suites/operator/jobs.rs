//! The page of everyday jobs: each of its commands works as described.

use std::fs;

use linkspan_harness::call::{Call, Output};
use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use serde_json::{Value, json};

use crate::{LINKSPAN, Node};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/jobs.md");

/// The first shell commands: namespaces, and plugins in a directory of this test.
const WORLD: &str = r#"
set -e
mount -t tmpfs none /run
mount -t tmpfs none /opt
linkspan() { "$LINKSPAN" --cache-dir "$CACHE" "$@"; }
"#;

/// A job: its heading, the preparation, the exit status, and a part of the output.
type Job = (&'static str, &'static str, i32, &'static str);

const JOBS: [Job; 10] = [
    (
        "Publish a port",
        "linkspan netns add web >/dev/null",
        0,
        "10.1.0.2/30",
    ),
    ("A namespace in two networks", "", 0, "10.9.0.2/16"),
    ("Who has port 8080", "", 0, "10.1.0.2:80"),
    ("What is attached", "", 0, "web"),
    (
        "Why has a pod no network",
        "nsenter --net=/run/netns/web ip link set eth0 down",
        1,
        "interface-down",
    ),
    (
        "The pool is full",
        "nsenter --net=/run/netns/web ip link set eth0 up",
        1,
        "of 1 addresses 1 belong to live attachments",
    ),
    (
        "Change the subnet",
        r#"cp "$CHANGED" "$NETCONFPATH/10-linkspan.conflist""#,
        0,
        "10-linkspan.conflist: ok",
    ),
    (
        "Free what the dead hold",
        r#"linkspan netns add dead >/dev/null; linkspan add linkspan dead --container-id dead >/dev/null; linkspan netns del dead; rm -r "$CACHE/linkspan""#,
        0,
        "deleted dead eth0",
    ),
    ("Is the node ready", "", 0, "other: ready"),
    (
        "Remove it all",
        "linkspan del web --net other; linkspan del web; linkspan netns del web; linkspan install -p /opt/cni/bin >/dev/null",
        0,
        "removed /opt/cni/bin/bridge",
    ),
];

/// The command below a heading of the page.
fn command(page: &str, heading: &str) -> String {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n\n    ")).unwrap();
    rest.lines().next().unwrap().to_owned()
}

fn list(lab: &Lab, name: &str, (of, range): (&str, &str)) -> Value {
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let plugin = bridge(
        lab,
        &json!({ "bridge": of, "ipam": host_local(lab, &[range]) }),
    );
    json!({ "cniVersion": "1.1.0", "name": name, "plugins": [plugin, portmap] })
}

/// Runs all jobs up to one, in separate mount namespaces; returns the output of the last.
fn shell(lab: &Lab, script: &str) -> Output {
    let path = |name: &str| lab.dir().join(name).to_str().unwrap().to_owned();
    let sh = Call::new("unshare".as_ref()).args(&["-m", "sh", "-c", script]);
    let sh = sh.env("LINKSPAN", LINKSPAN).env("CACHE", &path("cache"));
    let sh = sh
        .env("NETCONFPATH", &path("net.d"))
        .env("CNI_PATH", &path("bin"));
    sh.env("CHANGED", &path("changed"))
        .env("TMPDIR", &path("tmp"))
        .run()
}

#[test]
fn each_job_of_the_page_is_done_by_its_command() {
    if skip::without("nsenter").is_none() || skip::without("ip").is_none() {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        let page = fs::read_to_string(PAGE).unwrap();
        assert_eq!(page.matches("\n## ").count(), JOBS.len());
        let node = Node::empty(lab);
        let write =
            |file: &str, list: &Value| fs::write(node.path(file), list.to_string()).unwrap();
        write(
            "net.d/10-linkspan.conflist",
            &list(lab, "linkspan", ("br1", "10.1.0.0/30")),
        );
        write(
            "net.d/20-other.conflist",
            &list(lab, "other", ("br9", "10.9.0.0/16")),
        );
        write("changed", &list(lab, "linkspan", ("br7", "10.7.0.0/24")));
        let mut script = WORLD.to_owned();
        for (heading, before, _, _) in JOBS {
            let command = command(&page, heading);
            let marked = format!(
                "echo 'BEGIN {heading}'; status=0; {{ {command}; }} 2>&1 || status=$?; echo \"STATUS $status\""
            );
            script = format!("{script}{before}\n{marked}\n");
        }
        let told = shell(lab, &script);
        assert_eq!(told.status, 0, "{}{}", told.stdout, told.stderr);
        for (heading, _, status, part) in JOBS {
            let (_, rest) = told
                .stdout
                .split_once(&format!("BEGIN {heading}\n"))
                .unwrap();
            let (output, rest) = rest.split_once("STATUS ").unwrap();
            assert!(
                rest.starts_with(&format!("{status}\n")),
                "{heading}: {output}{rest}"
            );
            assert!(output.contains(part), "{heading}: {output}");
        }
    });
}
