//! Published ports and masquerade, with packets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod beside;
mod busy;
mod claims;
mod damage;
mod flows;
mod foreign;
mod former;
mod lacking;
mod legacy;
mod listed;
mod localnet;
mod others;
mod ownership;
mod packets;
mod ruleset;
mod swap;
mod upgrade;
mod waiting;
mod writers;
mod zones;

use linkspan_harness::call::Call;
use linkspan_harness::lab::Lab;
use linkspan_harness::pod::{Pod, both, mapping};
use linkspan_harness::skip;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// The mapping on one address of the host.
fn at(host_ip: &str, mut mapping: Value) -> Value {
    mapping["hostIP"] = json!(host_ip);
    mapping
}

/// The messages of a call to nf_tables, and its calls of flock(2), a line each. The call must succeed. `None`, with a
/// line, if tracing is not permitted.
fn traced(lab: &Lab, call: Call) -> Option<Vec<String>> {
    if !skip::can_trace("what is asked of nf_tables") {
        return None;
    }
    let log = lab.dir().join("traced");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-v",
        "-s",
        "16",
        "-e",
        "trace=sendto,sendmsg,flock",
        "-o",
        log.to_str().unwrap(),
    ];
    call.under(&strace).run().succeeded();
    let told = std::fs::read_to_string(&log).unwrap();
    let calls = told.lines().flat_map(|line| line.split("{nlmsg_len="));
    let of_interest = |part: &&str| part.contains("NFNL_") || part.contains("flock(");
    Some(calls.filter(of_interest).map(str::to_owned).collect())
}

/// The number of lines with the word.
fn count(told: &[String], word: &str) -> usize {
    told.iter().filter(|line| line.contains(word)).count()
}
