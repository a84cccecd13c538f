//! `linkspan back`, and its steps, executed with the Go plugins.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{go_plugins, in_lab};
use serde_json::json;

use crate::{LINKSPAN, Node};

#[test]
fn the_other_plugins_take_over_when_nothing_is_left_to_do() {
    let Some(go) = go_plugins("the way back") else {
        return;
    };
    let go = go.to_str().unwrap();
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let file = node.path("net.d/10-net.conflist");
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let list = |versions: &serde_json::Value| {
            let plugins = json!([bridge(lab, &json!({})), portmap]);
            let list = json!({ "cniVersion": "1.0.0", "cniVersions": versions, "name": "net", "plugins": plugins });
            fs::write(&file, list.to_string()).unwrap();
        };
        list(&json!(["1.0.0", "1.1.0"]));
        let back = || node.call(&["back", go]).run();
        let told = back();
        assert_eq!(told.status, 1);
        let detach = "eth0 of container c1 (prod/web-0) in the network net: it has rules that only these plugins remove -> stop the container, or linkspan del c1 --net net\n";
        assert!(told.stdout.contains(detach), "{}", told.stdout);
        // Older plugins do not know 1.1.0.
        let version = node.call(&["-v", "back", go, "--json"]).run();
        let is_older = version.stdout.contains("does not speak 1.1.0");
        let change = format!("{file}: the other bridge does not speak 1.1.0, but ");
        assert_eq!(told.stdout.contains(&change), is_older, "{}", told.stdout);
        assert_eq!(
            told.stdout.contains("-> take 1.1.0 out of cniVersions\n"),
            is_older
        );
        node.call(&["del", "c1"]).run().succeeded();
        list(&json!(["1.0.0"]));
        assert_eq!(back().succeeded(), "");

        // An attachment without rules of ours can be kept, and so can the next one.
        let kept = lab.sandbox();
        node.add("net", "kept", &kept);
        assert_eq!(back().succeeded(), "");
        let theirs = |args: &[&str]| node.call(args).env("CNI_PATH", go).run();
        theirs(&["check", "kept"]).succeeded();
        theirs(&["del", "kept"]).succeeded();
        assert!(kept.rtnl().link_by_name("eth0").unwrap().is_none());
        let next = lab.sandbox();
        theirs(&["add", "net", &next.path(), "--container-id", "next"]).succeeded();
        theirs(&["del", "next"]).succeeded();
        assert_eq!(lab.leased("net").len(), 0);
    });
}
