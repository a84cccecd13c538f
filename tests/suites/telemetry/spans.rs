//! The spans of a call: what they are called, what lies in what, and what a failure leaves.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use serde_json::json;

use crate::otlp::{Span, spans};
use crate::{CALLER, LINKSPAN, TRACE, call, parent};

/// The lines of the file.
fn lines(lab: &Lab) -> Vec<Vec<Span>> {
    let text = fs::read_to_string(lab.dir().join("telemetry/spans.jsonl")).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(spans).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[test]
fn a_call_and_its_delegate_are_spans_of_the_engines_trace() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        // As a process, the delegate has a line of its own; in the same process it is a step.
        for (is_executed, id) in [(true, "c1"), (false, "c2")] {
            let call = call(lab, &sandbox, "ADD").env("CNI_CONTAINERID", id);
            let call = call.env("CNI_IFNAME", &format!("net{id}"));
            let call = if is_executed {
                call.env("LINKSPAN_DELEGATE", "exec")
            } else {
                call.without("LINKSPAN_DELEGATE")
            };
            call.run().succeeded();
            let written = lines(lab);
            let all = written.concat();
            fs::remove_file(lab.dir().join("telemetry/spans.jsonl")).unwrap();
            assert_eq!(written.len(), if is_executed { 2 } else { 1 }, "{all:#?}");
            assert!(all.iter().all(|span| span.trace_id == TRACE));
            assert!(all.iter().all(|span| span.trace_state == "vendor=1"));
            let ids: BTreeSet<&str> = all.iter().map(|span| span.span_id.as_str()).collect();
            assert_eq!(ids.len(), all.len(), "{all:#?}");
            let own = named(&all, "cni.bridge ADD");
            assert_eq!(own.parent_span_id, CALLER);
            let told = own.attributes();
            for (key, value) in [
                ("cni.network", "net"),
                ("cni.container_id", id),
                ("k8s.pod.name", "web-0"),
                ("k8s.namespace.name", "prod"),
            ] {
                assert_eq!(told.get(key), Some(&value), "{told:?}");
            }
            assert!(!format!("{all:?}").contains("hidden"), "{all:#?}");
            for step in ["ipam", "link", "addresses"] {
                assert_eq!(named(&all, step).parent_span_id, own.span_id, "{step}");
            }
            let delegate = named(&all, "cni.host-local ADD");
            let ipam = named(&all, "ipam");
            assert_eq!(delegate.parent_span_id, ipam.span_id);
            assert!(delegate.times().0 >= ipam.times().0);
            for span in &all {
                let (from, to) = span.times();
                let (began, ended) = own.times();
                assert!(from >= began && to <= ended, "{span:?} is not in {own:?}");
            }
        }
        let mode = fs::metadata(lab.dir().join("telemetry")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7007, 0);
    });
}

#[test]
fn a_failure_is_told_with_the_steps_that_undid_it() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let ipam = host_local(lab, &["10.1.0.0/30"]);
        let call = call(lab, &sandbox, "ADD").without("LINKSPAN_DELEGATE");
        let call = call.conf(&bridge(lab, &json!({ "ipam": ipam })));
        call.run().succeeded();
        fs::remove_file(lab.dir().join("telemetry/spans.jsonl")).unwrap();
        // The one address is given away, and the pair is made by then.
        let told = call.env("CNI_IFNAME", "net1").run();
        assert_eq!(told.status, 1);
        let all = lines(lab).concat();
        let own = named(&all, "cni.bridge ADD");
        let status = own.status.as_ref().unwrap();
        assert!(told.stdout.contains(&status.message), "{}", told.stdout);
        assert!(own.attributes().contains_key("cni.code"));
        let undo = named(&all, "undo");
        assert_eq!(undo.parent_span_id, own.span_id);
        let deleted = named(&all, "delete the pair");
        assert_eq!(deleted.parent_span_id, undo.span_id);
        assert!(deleted.status.is_none() && named(&all, "ipam").status.is_some());
    });
}

#[test]
fn del_tells_its_steps_and_an_unsampled_trace_nothing() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let unsampled = parent("00");
        call(lab, &sandbox, "ADD")
            .env("TRACEPARENT", &unsampled)
            .run()
            .succeeded();
        call(lab, &sandbox, "CHECK").without("TRACEPARENT").run();
        call(lab, &sandbox, "CHECK")
            .env("TRACEPARENT", "nonsense")
            .run();
        assert!(lines(lab).is_empty());
        call(lab, &sandbox, "DEL").run().succeeded();
        let all = lines(lab).concat();
        let own = named(&all, "cni.bridge DEL");
        for step in ["delete the interface", "release addresses"] {
            assert_eq!(named(&all, step).parent_span_id, own.span_id);
        }
        // The version is no work.
        let version = call(lab, &sandbox, "VERSION");
        version.run().succeeded();
        assert_eq!(lines(lab).concat().len(), all.len());
    });
}

#[test]
fn nothing_that_telemetry_cannot_do_fails_a_call() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let file = lab.dir().join("file");
        fs::write(&file, "").unwrap();
        let below = file.join("below");
        for place in [
            "/proc/none",
            below.to_str().unwrap(),
            "relative",
            ",journal",
        ] {
            let call = |verb| call(lab, &sandbox, verb).env("LINKSPAN_TELEMETRY", place);
            call("ADD").run().succeeded();
            call("DEL").run().succeeded();
        }
        let warned = call(lab, &sandbox, "DEL").env("LINKSPAN_TELEMETRY", "relative,x");
        let warned = warned.run().stderr;
        assert!(warned.contains("\"relative\" is ignored"), "{warned}");
        assert!(warned.contains("\"x\" is ignored"), "{warned}");
    });
}

#[test]
fn lines_of_many_calls_at_once_stay_whole_and_a_large_file_gives_way() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let running: Vec<_> = (0..16)
            .map(|_| {
                call(lab, &sandbox, "DEL")
                    .without("LINKSPAN_DELEGATE")
                    .spawn()
            })
            .collect();
        for one in running {
            one.wait().succeeded();
        }
        assert_eq!(lines(lab).len(), 16);
        let file = lab.dir().join("telemetry/spans.jsonl");
        let large = fs::OpenOptions::new().write(true).open(&file).unwrap();
        large.set_len(16 << 20).unwrap();
        call(lab, &sandbox, "DEL").run().succeeded();
        assert!(lab.dir().join("telemetry/spans.jsonl.1").exists());
        assert!(!lines(lab).is_empty());
        if skip::without("jq").is_some() {
            let jq = skip::without("jq").unwrap();
            let text = fs::read(&file).unwrap();
            let names = linkspan_harness::call::Call::new(&jq)
                .args(&["-r", ".resourceSpans[].scopeSpans[].spans[].name"])
                .stdin(&text)
                .run();
            assert!(names.succeeded().contains("cni.bridge DEL"));
        }
    });
}
