//! `linkspan list`.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::in_lab;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, linkspan, net_dir, text};

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
            // Each has a host's end of its own, and that of these is gone.
            entry["result"]["interfaces"][1]["name"] = json!("vethgone");
            let file = results.join(format!("net-{container}-eth0"));
            fs::write(file, entry.to_string()).unwrap();
        };
        alike("c2", None);
        alike("c3", Some(&text(&lab.dir().join("gone"))));
        // What is left of a named namespace when it is gone is an empty file.
        fs::write(lab.dir().join("empty"), "").unwrap();
        alike("c4", Some(&text(&lab.dir().join("empty"))));

        let told = list(&["--json"]).json();
        let first = json!({
            "network": "net",
            "container": "c1",
            "interface": "eth0",
            "addresses": ["10.1.0.2/16", "fd00:1::2/64"],
            "netns": sandbox.path(),
            "sandbox": null,
            "alive": true,
        });
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
        let expected = ["net", "c1", "eth0", "alive", "10.1.0.2/16", "fd00:1::2/64"];
        assert_eq!((&*lines[1], lines.len()), (&expected[..], 5));
        assert_eq!((lines[2][3], lines[3][3]), ("unknown", "gone"));
        assert!(told.stderr.contains("net-c5-eth0"), "{}", told.stderr);
    });
}
