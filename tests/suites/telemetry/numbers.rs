//! `linkspan metrics`: the exposition format by a strict reader and by promtool, and numbers that are right.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use serde_json::{Value, json};

use crate::{LINKSPAN, call};

fn command(lab: &Lab, args: &[&str]) -> Call {
    let path = |name: &str| lab.dir().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(lab.dir().join("net.d")).unwrap();
    lab.linkspan(&["--cache-dir", &path("cache"), "--net-dir", &path("net.d")])
        .args(args)
        .env("CNI_PATH", &path("bin"))
        .env("LINKSPAN_TELEMETRY", &path("telemetry"))
}

/// A node with a network of six addresses, and a pod that publishes a port.
fn node(lab: &Lab) -> Sandbox {
    let ipam = host_local(lab, &["10.1.0.0/29"]);
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let plugins = [bridge(lab, &json!({ "ipam": ipam })), portmap];
    let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
    let pod = lab.sandbox();
    let add = command(lab, &["add", "net", &pod.path(), "--container-id", "c1"]);
    fs::write(lab.dir().join("net.d/10-net.conflist"), list.to_string()).unwrap();
    let ports = json!({ "portMappings": [
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8081, "containerPort": 81, "protocol": "udp" },
    ] });
    add.env("CAP_ARGS", &ports.to_string()).run().succeeded();
    pod
}

/// The samples of a text, which is the exposition format to the letter: for each family one HELP, one TYPE and then its
/// samples, each with known characters, and no series twice.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'), "{text}");
    let is_name = |name: &str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            let kind = lines.next().unwrap();
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{kind}");
            assert!(families.iter().all(|(known, _)| known != name), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            families.push((name.to_owned(), kind.to_owned()));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let (family, kind) = families.last().unwrap();
        let part = name.strip_prefix(family.as_str()).unwrap();
        let parts: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(parts.contains(&part) && is_name(name), "{line}");
        for label in labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty())
        {
            let (label, value) = label.split_once('=').unwrap();
            assert!(is_name(label), "{line}");
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let value: f64 = value.parse().unwrap();
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{line} is there twice"
        );
    }
    samples
}

fn judged_by_promtool(text: &str) {
    if let Some(promtool) = skip::without("promtool") {
        let told = Call::new(&promtool)
            .args(&["check", "metrics"])
            .stdin(text.as_bytes())
            .run();
        told.succeeded();
        assert_eq!((&*told.stdout, &*told.stderr), ("", ""));
    }
}

#[test]
fn the_node_in_numbers() {
    in_lab(LINKSPAN, |lab| {
        let pod = node(lab);
        let dir = lab.dir().join("telemetry");
        let args = ["metrics", "--counters", dir.to_str().unwrap()];
        let run = command(lab, &args).run();
        let text = run.succeeded();
        judged_by_promtool(text);
        let samples = read(text);
        for (series, value) in [
            ("linkspan_attachments{network=\"net\",state=\"alive\"}", 1.0),
            (
                "linkspan_addresses{network=\"net\",range=\"10.1.0.0/29\",state=\"free\"}",
                4.0,
            ),
            (
                "linkspan_addresses{network=\"net\",range=\"10.1.0.0/29\",state=\"leased\"}",
                1.0,
            ),
            (
                "linkspan_addresses{network=\"net\",range=\"10.1.0.0/29\",state=\"gone\"}",
                0.0,
            ),
            ("linkspan_stale{kind=\"attachment\"}", 0.0),
            ("linkspan_stale{kind=\"port\"}", 0.0),
        ] {
            assert_eq!(samples.get(series), Some(&value), "{series}: {text}");
        }
        // One for each family of addresses that it is published on.
        let published = "linkspan_published_ports{network=\"net\",protocol=";
        let of = |protocol: &str| samples.get(&format!("{published}\"{protocol}\"}}"));
        assert!(of("tcp") > Some(&0.0) && of("tcp") == of("udp"), "{text}");
        let info = |series: &&String| series.starts_with("linkspan_build_info{version=");
        assert_eq!(samples.keys().filter(info).count(), 1);
        let adds = "linkspan_calls_total{verb=\"ADD\",code=\"0\"}";
        let before = samples[adds];
        assert!(before >= 2.0, "{text}");
        is_histogram(&samples, "verb=\"ADD\",code=\"0\"", before);
        // A failure is counted under its code.
        let failed = call(lab, &pod, "ADD").env("CNI_CONTAINERID", "c2").run();
        failed.failed(999);
        let json: Value = command(lab, &[&args[..], &["--json"]].concat())
            .run()
            .json();
        let rows = json.as_array().unwrap();
        let is_it = |row: &&Value| {
            row["name"] == "linkspan_calls_total"
                && row["labels"]
                    == json!([{ "name": "verb", "value": "ADD" }, { "name": "code", "value": "999" }])
        };
        let row = rows
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{json:#}"));
        assert_eq!(row["value"], "1");
    });
}

/// Buckets never shrink, the last one is all, and so is the count.
fn is_histogram(samples: &BTreeMap<String, f64>, labels: &str, calls: f64) {
    let name = "linkspan_call_duration_seconds";
    let bucket = |le: &str| samples.get(&format!("{name}_bucket{{{labels},le=\"{le}\"}}"));
    assert_eq!(bucket("+Inf"), Some(&calls));
    let bounds = [
        "0.0005", "0.001", "0.002", "0.064", "0.512", "2", "10", "+Inf",
    ];
    let counts: Vec<f64> = bounds.iter().map(|le| *bucket(le).unwrap()).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(
        samples.get(&format!("{name}_count{{{labels}}}")),
        Some(&calls)
    );
    assert!(samples[&format!("{name}_sum{{{labels}}}")] > 0.0);
}

#[test]
fn the_textfile_is_whole_readable_and_new_each_time() {
    in_lab(LINKSPAN, |lab| {
        let _pod = node(lab);
        let file = lab.dir().join("linkspan.prom");
        let left = lab.dir().join(".linkspan-draft-left");
        fs::write(&left, "").unwrap();
        let write = || {
            let told = command(lab, &["metrics", "--textfile", file.to_str().unwrap()]).run();
            assert_eq!(told.succeeded(), "");
            let meta = fs::metadata(&file).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, 0o644);
            std::os::unix::fs::MetadataExt::ino(&meta)
        };
        write();
        let text = fs::read_to_string(&file).unwrap();
        read(&text);
        judged_by_promtool(&text);
        assert!(!left.exists());
        // A counter of calls is only there where the engine's environment has a directory for it.
        assert!(!text.contains("linkspan_calls_total"), "{text}");
        write();
    });
}

#[test]
fn a_file_of_counters_that_is_not_ours_is_left_alone() {
    in_lab(LINKSPAN, |lab| {
        let dir = lab.dir().join("telemetry");
        fs::create_dir(&dir).unwrap();
        let file = dir.join("counters");
        fs::write(&file, "somebody's").unwrap();
        let _pod = node(lab);
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
        let args = ["metrics", "--counters", dir.to_str().unwrap()];
        let told = command(lab, &args).run();
        assert_eq!(told.status, 1);
        assert!(told.stderr.contains("read the counters"), "{}", told.stderr);
    });
}
