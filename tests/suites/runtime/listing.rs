//! `linkspan list`.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::in_lab;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, linkspan, net_dir, text};

/// The attachment of `c1` as JSON.
fn first(netns: &str) -> Value {
    json!({
        "network": "net",
        "container": "c1",
        "interface": "eth0",
        "pod": null,
        "podNamespace": null,
        "addresses": ["10.1.0.2/16", "fd00:1::2/64"],
        "netns": netns,
        "state": "alive",
        "alive": true,
        "doubt": null,
        "sandbox": null,
    })
}

#[test]
fn attachments_are_listed_with_addresses_and_the_life_of_their_namespaces() {
    in_lab(LINKSPAN, |lab| {
        let list = |args: &[&str]| linkspan(lab, &[&["list"], args].concat()).run();
        assert_eq!(list(&["--json"]).json(), json!([]));
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let results = lab.dir().join("cache/results");
        let entry = fs::read(results.join("net-c1-eth0")).unwrap();
        let alike = |container: &str, netns: Option<&str>| {
            let mut entry: Value = serde_json::from_slice(&entry).unwrap();
            entry["containerId"] = json!(container);
            entry["netns"] = json!(netns);
            // Each has a separate host end, and these are gone.
            entry["result"]["interfaces"][1]["name"] = json!("vethgone");
            if netns.is_none() {
                entry["result"]["interfaces"] = json!([]);
                entry["result"]["ips"] = json!([]);
            }
            let file = results.join(format!("net-{container}-eth0"));
            fs::write(file, entry.to_string()).unwrap();
        };
        alike("c2", None);
        alike("c3", Some(&text(&lab.dir().join("gone"))));
        // A named namespace that is gone leaves an empty file.
        fs::write(lab.dir().join("empty"), "").unwrap();
        alike("c4", Some(&text(&lab.dir().join("empty"))));

        let told = list(&["--json"]).json();
        let first = first(&sandbox.path());
        assert_eq!(told[0], first);
        let alive: Vec<&Value> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|e| &e["alive"])
            .collect();
        assert_eq!(
            alive,
            [&json!(true), &Value::Null, &json!(false), &json!(false)]
        );

        fs::write(results.join("net-c5-eth0"), "{").unwrap();
        let told = list(&[]);
        let lines: Vec<Vec<&str>> = told
            .succeeded()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let expected = [
            "net",
            "c1",
            "-",
            "eth0",
            "alive",
            "10.1.0.2/16",
            "fd00:1::2/64",
        ];
        assert_eq!((&*lines[1], lines.len()), (&expected[..], 7));
        assert_eq!((lines[2][4], lines[3][4]), ("unknown", "gone"));
        // The reason why a life cannot be judged, and the command that helps.
        let doubt = "eth0 of container c2: neither the cache nor the result names its namespace -> ask the engine";
        assert!(told.stdout.contains(doubt), "{}", told.stdout);
        assert!(
            told.stdout
                .ends_with("linkspan del c2 --net net --ifname eth0\n")
        );
        assert!(told.stderr.contains("net-c5-eth0"), "{}", told.stderr);
    });
}
