//! The spans of a call as one line of OTLP's JSON, which the file receiver of OpenTelemetry's collector reads.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use super::spans::{Recorded, Span};

/// `SPAN_KIND_INTERNAL` and `STATUS_CODE_ERROR` of OTLP, whose JSON has numbers for both.
const INTERNAL: u8 = 1;
const ERROR: u8 = 2;

/// The line, with its newline.
pub(super) fn line(recorded: &Recorded, outcome: &Outcome<'_>) -> String {
    let mut spans: Vec<Value> = recorded
        .spans
        .iter()
        .map(|one| span(recorded, one))
        .collect();
    if let Some(call) = spans.first_mut() {
        describe(call, outcome);
    }
    let resource = [
        text("service.name", "linkspan"),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let request = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "linkspan" }, "spans": spans }],
    }] });
    format!("{request}\n")
}

fn span(recorded: &Recorded, one: &Span) -> Value {
    let mut object = json!({
        "traceId": recorded.context.trace,
        "spanId": one.id,
        "parentSpanId": one.parent,
        "flags": recorded.context.flags,
        "name": one.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(one.from),
        "endTimeUnixNano": nanoseconds(one.to.unwrap_or(one.from)),
    });
    if !recorded.context.state.is_empty() {
        put(&mut object, "traceState", json!(recorded.context.state));
    }
    if let Some(error) = &one.error {
        put(&mut object, "status", failed(error));
    }
    object
}

/// Makes the first span that of the verb.
fn describe(call: &mut Value, outcome: &Outcome<'_>) {
    let (verb, env) = (outcome.verb.name(), outcome.env);
    put(
        call,
        "name",
        json!(format!("cni.{} {verb}", outcome.plugin)),
    );
    let known = [
        ("cni.plugin", outcome.plugin),
        ("cni.command", verb),
        ("cni.network", outcome.network),
        ("cni.container_id", &env.container_id),
        ("cni.ifname", &env.ifname),
        ("cni.netns", &env.netns),
    ];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    let mut attributes: Vec<Value> = known.map(|(key, value)| text(key, value)).collect();
    let pod = outcome.pod.iter().map(|(key, value)| match *key {
        "K8S_POD_NAMESPACE" => text("k8s.namespace.name", value),
        "K8S_POD_NAME" => text("k8s.pod.name", value),
        _ => text("k8s.pod.uid", value),
    });
    attributes.extend(pod);
    if let Some(error) = outcome.error {
        let code = json!({ "key": "cni.code", "value": { "intValue": error.code.to_string() } });
        attributes.push(code);
        put(call, "status", failed(&error.msg));
    }
    put(call, "attributes", json!(attributes));
}

fn failed(message: &str) -> Value {
    json!({ "code": ERROR, "message": message })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(keys) = object.as_object_mut() {
        keys.insert(key.to_owned(), value);
    }
}

/// A 64-bit number is a string in the JSON of protocol buffers.
fn nanoseconds(time: Duration) -> String {
    time.as_nanos().to_string()
}
