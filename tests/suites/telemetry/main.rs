//! Telemetry: spans, records of the journal and numbers, each read by a reader that is not ours where the machine has one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod journal;
mod numbers;
mod off;
mod otlp;
mod spans;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox};
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The context that an engine passes on: a sampled trace.
fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A call of the plugin `bridge` for the pod `prod/web-0`, with telemetry into the directory `telemetry` of the lab.
fn call(lab: &Lab, sandbox: &Sandbox, verb: &str) -> Call {
    let dir = lab.dir().join("telemetry");
    lab.plugin("bridge")
        .verb(verb)
        .of("c1", sandbox)
        .conf(&bridge(lab, &json!({ "ipMasq": true })))
        .env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-0;SECRET=hidden",
        )
        .env("LINKSPAN_TELEMETRY", dir.to_str().unwrap())
        .env("TRACEPARENT", &parent("01"))
        .env("TRACESTATE", "vendor=1")
}
