//! `--json` of every command: the output matches the schemas. Keys are never removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use linkspan_harness::lab::in_lab;
use serde_json::Value;

use crate::{LINKSPAN, Node};

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/output");

fn schema(name: &str) -> Value {
    let text = fs::read_to_string(Path::new(SCHEMAS).join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The differences between a value and the part of JSON Schema that these schemas use.
fn differs(value: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_it = |wanted: &Value| wanted == kind;
    let fits = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is_it),
        one => is_it(one),
    };
    if !fits {
        found.push(format!("{at}: {kind} instead of {}", schema["type"]));
    }
    for (at_item, item) in value.as_array().into_iter().flatten().enumerate() {
        differs(item, &schema["items"], &format!("{at}[{at_item}]"), found);
    }
    let (Some(keys), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    let there: BTreeSet<&String> = keys.keys().collect();
    let promised: BTreeSet<&String> = known.keys().collect();
    if there != promised {
        found.push(format!("{at}: {there:?} instead of {promised:?}"));
    }
    for (key, value) in keys {
        differs(
            value,
            known.get(key).unwrap_or(&Value::Null),
            &format!("{at}.{key}"),
            found,
        );
    }
}

fn is_of(value: &Value, name: &str) {
    let mut found = Vec::new();
    differs(value, &schema(name), name, &mut found);
    assert!(found.is_empty(), "{found:#?}\n{value:#}");
}

#[test]
fn every_command_prints_what_its_schema_says() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let second = lab.sandbox();
        node.add("net", "c2", &second);
        node.add_dead("net", "c3");
        lab.until_pairs(2);
        let bin = node.path("opt");
        let bad = node.path("bad.conflist");
        fs::write(&bad, r#"{"name":"n","plugins":[{"type":"none"}]}"#).unwrap();
        let mut told = BTreeSet::new();
        let mut run = |args: &[&str], is_empty: bool| {
            let ran = node.call(&[args, &["--json"]].concat()).run();
            let rows: Value = serde_json::from_str(&ran.stdout)
                .unwrap_or_else(|_| panic!("{args:?}: {}{}", ran.stdout, ran.stderr));
            let name = match args {
                [_, option] if *option == "--graph" => "graph",
                _ => args[0],
            };
            is_of(&rows, name);
            assert_eq!(
                rows.as_array().unwrap().is_empty(),
                is_empty,
                "{args:?}: {rows}"
            );
            told.insert(name.to_owned());
        };
        run(&["list"], false);
        run(&["list", "--graph"], false);
        run(&["inspect", "c1"], false);
        run(&["ports"], false);
        run(&["ports", "8081"], true);
        run(&["check", "c1"], false);
        run(&["check", "--all"], false);
        run(&["doctor"], false);
        run(&["metrics"], false);
        run(&["status"], false);
        run(&["back", &node.path("bin")], false);
        run(&["restore"], false);
        run(&["validate", &bad], false);
        run(&["gc", "net", "--dry-run"], false);
        run(&["gc", "net"], false);
        run(&["gc", "--all"], true);
        run(&["del", "c2"], false);
        run(&["install", "-p", &bin], false);
        run(&["uninstall", &bin, "--dry-run"], false);
        run(&["uninstall", &bin, "--force"], false);
        run(&["clear", "--force"], false);
        run(
            &["netns", "list"],
            !Path::new("/run/netns").exists()
                || fs::read_dir("/run/netns").unwrap().next().is_none(),
        );
        run(&["version"], false);
        let failed = node.call(&["check", "none", "--json"]).run();
        assert_eq!((failed.status, &*failed.stdout), (4, ""));
        is_of(&serde_json::from_str(&failed.stderr).unwrap(), "failure");
        told.insert("failure".to_owned());
        let files = fs::read_dir(SCHEMAS)
            .unwrap()
            .map(|file| file.unwrap().path());
        let files: BTreeSet<String> = files
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, files);
    });
}

#[test]
fn the_shape_of_an_attachment_is_the_same_everywhere() {
    let keys = |name: &str| schema(name)["items"]["properties"].clone();
    for name in ["check", "inspect", "list", "ports"] {
        for key in [
            "network",
            "container",
            "interface",
            "pod",
            "podNamespace",
            "state",
        ] {
            let kind = &keys(name)[key]["type"];
            assert_eq!(kind, &keys("list")[key]["type"], "{name} {key}");
        }
    }
}
