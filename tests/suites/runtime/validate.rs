//! `linkspan validate`.

use std::fs;
use std::os::unix::fs::symlink;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use linkspan_harness::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::{EXAMPLES, LINKSPAN, examples, files, linkspan, text};

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/own.conflist");

/// A run on a file with `conf`.
pub(crate) fn validate(lab: &Lab, name: &str, conf: &str) -> Call {
    let path = lab.dir().join(name);
    fs::write(&path, conf).unwrap();
    linkspan(lab, &["validate", &text(&path)])
}

/// The report on a list with these plugins, without the file's name.
pub(crate) fn told(lab: &Lab, over: &Value) -> Vec<String> {
    let base =
        json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [bridge(lab, &json!({}))] });
    let call = validate(lab, "a.conflist", &with(base, over).to_string());
    let run = call.args(&["-v"]).run();
    let prefix = format!("{}: ", text(&lab.dir().join("a.conflist")));
    let lines = run.stdout.lines();
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(&prefix).unwrap().to_owned())
        // Without the lines about the place of each plugin.
        .filter(|line| !line.contains(&format!(" is {}/", text(&lab.bin()))))
        .collect();
    let is_good = lines.iter().any(|line| line == "ok");
    assert_eq!(run.status == 0, is_good, "{lines:?}");
    lines
}

#[test]
fn every_example_is_good() {
    in_lab(LINKSPAN, |lab| {
        let names = examples();
        let examples = names.iter().map(|name| format!("{EXAMPLES}/{name}"));
        // And the network of `linkspan run`.
        let paths: Vec<String> = examples.chain([OWN.to_owned()]).collect();
        let args: Vec<&str> = paths.iter().map(String::as_str).collect();
        let before = Snapshot::of_host(lab);
        let run = linkspan(lab, &[&["validate"], &args[..]].concat()).run();
        let good = run
            .succeeded()
            .lines()
            .filter(|line| line.ends_with(": ok"));
        assert_eq!(good.count(), names.len() + 1, "{}", run.stdout);
        assert_eq!(Snapshot::of_host(lab), before);
    });
}

/// Lists with one plugin, each with the expected report.
fn of_a_plugin(lab: &Lab) -> Vec<(Value, &'static str)> {
    let one = |over: Value| json!({ "plugins": [bridge(lab, &over)] });
    let ipam = |over: Value| {
        let ipam = json!({ "type": "host-local", "dataDir": lab.leases(),
            "ranges": [[{ "subnet": "10.1.0.0/16" }]] });
        one(json!({ "ipam": with(ipam, &over) }))
    };
    let overlap = json!({ "subnet": "10.1.0.0/16", "ranges": [[{ "subnet": "10.1.2.0/24" }]] });
    vec![
        (
            one(json!({ "isGatway": true })),
            "plugins[0] bridge: isGatway: did you mean isGateway?",
        ),
        (
            one(json!({ "mtu": "1500" })),
            "plugins[0] bridge: mtu: \"1500\" is not a whole number",
        ),
        (
            one(json!({ "isGateway": "yes" })),
            "plugins[0] bridge: isGateway: \"yes\" is not true or false",
        ),
        (
            one(json!({ "mtu": 4_294_967_296_u64 })),
            "plugins[0] bridge: mtu 4294967296 ",
        ),
        (
            ipam(json!({ "ranges": [[{ "subnet": 7 }]] })),
            "plugins[0] bridge: ipam.ranges[0][0].subnet: 7 is not a string",
        ),
        (
            ipam(json!({ "rangestart": "10.1.0.9", "datadir": "/x", "route": [] })),
            "plugins[0] bridge: ipam.route: did you mean routes?",
        ),
        (
            ipam(overlap),
            "plugins[0] bridge: range set 0 overlaps with 1",
        ),
        (
            ipam(json!({ "type": "host-locl" })),
            "plugins[0] bridge: failed to find plugin \"host-locl\" in path",
        ),
        (
            one(json!({ "type": "brigde" })),
            "plugins[0] brigde: failed to find plugin \"brigde\" in path",
        ),
        (
            one(json!({ "capabilities": { "macs": true } })),
            "plugins[0] bridge: capabilities.macs: did you mean mac?",
        ),
        (
            one(json!({ "capabilities": { "infinibandGUID": true } })),
            "plugins[0] bridge: capabilities.infinibandGUID: nothing in this plugin reads it",
        ),
    ]
}

/// The same about the keys beside the plugins.
fn of_a_list() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({ "disablegc": true }),
            "disablegc: did you mean disableGC?",
        ),
        (
            json!({ "name": "a b" }),
            "invalid characters found in network name",
        ),
        (
            json!({ "cniVersion": "1.x" }),
            "failed to convert minor version part \"x\"",
        ),
        (
            json!({ "cniVersion": "1.2.0" }),
            "plugins[0] bridge: plugin bridge does not support config version \"1.2.0\"",
        ),
        (
            json!({ "plugins": [{}] }),
            "failed to parse plugin config 0: error parsing configuration: missing 'type'",
        ),
    ]
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    in_lab(LINKSPAN, |lab| {
        for (conf, expected) in of_a_plugin(lab).into_iter().chain(of_a_list()) {
            let told = told(lab, &conf);
            let problems: Vec<&String> = told.iter().filter(|t| !t.starts_with("note: ")).collect();
            assert!(
                problems.iter().any(|t| t.starts_with(expected)),
                "{expected}: {told:?}"
            );
            assert!(!told.contains(&"ok".to_owned()), "{told:?}");
        }
        assert_eq!(files(&lab.leases()), [""; 0]);
        let typo = told(lab, &json!({ "plugins": [{ "type": "host-lokal" }] }));
        assert!(typo[0].ends_with("; did you mean host-local?"), "{typo:?}");
    });
}

#[test]
fn what_may_be_is_only_a_note() {
    in_lab(LINKSPAN, |lab| {
        Recorder::new(lab, &["calico"]);
        let plugins = json!([
            bridge(lab, &json!({ "capabilities": { "mac": true }, "ISGATEWAY": true, "mtu": null })),
            { "type": "calico", "log_level": "info" },
        ]);
        let over = json!({ "cniVersion": null, "labels": {}, "plugins": plugins });
        let expected = [
            "plugins[1] calico: plugin calico does not support config version \"0.1.0\"; \
             it supports 0.3.1, 0.4.0, 1.0.0, 1.1.0",
            "note: labels: unknown key",
            "note: no cniVersion: plugins are asked in version 0.1.0",
            "note: plugins[1] calico: calico has no schema here, only the common keys were judged",
            "note: declared by no plugin, though it could be: capability ipRanges, ips",
        ];
        assert_eq!(told(lab, &over), expected);
        // The bridge's name is taken on this machine, which is not a fault of the configuration.
        let taken = json!({ "plugins": [bridge(lab, &json!({ "bridge": "lo" }))] });
        let told = told(lab, &taken);
        assert!(told[0].starts_with("note: plugins[0] bridge: "), "{told:?}");
        assert!(told.contains(&"ok".to_owned()), "{told:?}");
    });
}

#[test]
fn values_of_capabilities_must_reach_somebody() {
    in_lab(LINKSPAN, |lab| {
        let ipam = json!({ "type": "host-local", "dataDir": lab.leases() });
        let conf = |capabilities| {
            let over = json!({ "ipam": ipam, "capabilities": capabilities });
            bridge(lab, &over).to_string()
        };
        let args = r#"{"ipRanges":[[{"subnet":"10.9.0.0/24"}]]}"#;
        let declared = conf(json!({ "ipRanges": true }));
        let run = validate(lab, "a.conf", &declared)
            .env("CAP_ARGS", args)
            .run();
        assert!(run.succeeded().ends_with(": ok\n"), "{}", run.stdout);
        let run = validate(lab, "a.conf", &declared).run();
        assert!(
            run.stdout.contains("bridge: no IP ranges specified"),
            "{}",
            run.stdout
        );
        let run = validate(lab, "a.conf", &conf(json!({})))
            .env("CAP_ARGS", args)
            .run();
        let lost = "capability ipRanges is declared by no plugin";
        assert!(run.stdout.contains(lost), "{}", run.stdout);
        assert_eq!(run.status, 1);
    });
}

#[test]
fn what_is_no_configuration_is_told_and_the_next_file_is_still_read() {
    in_lab(LINKSPAN, |lab| {
        let list =
            json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [{ "type": "loopback" }] });
        let good = validate(lab, "good.conflist", &list.to_string()).run();
        assert_eq!(
            good.succeeded(),
            format!("{}/good.conflist: ok\n", text(lab.dir()))
        );
        let run = validate(lab, "bad.conflist", "{")
            .args(&["/nonexistent", &text(&lab.dir().join("good.conflist"))])
            .run();
        assert_eq!(run.status, 1);
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert!(
            lines[0].contains("bad.conflist: error parsing configuration list: EOF"),
            "{lines:?}"
        );
        let marked = validate(lab, "marked.conflist", &format!("\u{feff}{list}")).run();
        let told = "the text begins with a byte order mark (UTF-8); hint: save";
        assert!(marked.stdout.contains(told), "{}", marked.stdout);
        assert!(
            lines[1].starts_with("/nonexistent: error reading /nonexistent"),
            "{lines:?}"
        );
        assert!(lines[2].ends_with("good.conflist: ok"), "{lines:?}");
    });
}

#[test]
fn a_plugin_without_status_is_judged_by_ours_of_that_name() {
    in_lab(LINKSPAN, |lab| {
        // A plugin counts as old by its own VERSION.
        let old = lab.dir().join("old");
        fs::create_dir(&old).unwrap();
        let script = r#"printf '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'"#;
        lab.script_at(old.join("script"), script);
        for name in ["bridge", "host-local"] {
            symlink("script", old.join(name)).unwrap();
        }
        let ipam = host_local(lab, &["10.1.0.0/16", "10.1.2.0/24"]);
        let conf = bridge(lab, &json!({ "cniVersion": "1.0.0", "ipam": ipam })).to_string();
        let run = validate(lab, "a.conf", &conf)
            .env("CNI_PATH", &text(&old))
            .run();
        let expected = "bridge (the one in this binary): range set 0 overlaps with 1\n";
        assert!(run.stdout.contains(expected), "{}", run.stdout);
        assert_eq!(run.status, 1);
    });
}
