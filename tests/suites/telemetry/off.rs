//! Off, telemetry is not there: a call makes the same system calls with a trace as without one. On, it makes a few more.

use std::collections::BTreeMap;
use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::conf::fixed;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use serde_json::json;

use crate::{LINKSPAN, parent};

/// The system calls of an ADD of `static`, which asks nothing of the kernel, by their names.
fn traced(lab: &Lab, with: impl FnOnce(Call) -> Call) -> BTreeMap<String, usize> {
    let log = lab.dir().join("strace");
    let log = log.to_str().unwrap();
    let conf = json!({ "cniVersion": "1.1.0", "name": "net", "type": "static",
        "ipam": fixed(&["10.1.0.2/24"]) });
    let call = lab
        .plugin("static")
        .env("CNI_CONTAINERID", "pod")
        .env("CNI_IFNAME", "eth0")
        .netns("/run/netns/none")
        .conf(&conf);
    let call = with(call).under(&["strace", "-f", "-qq", "-o", log]);
    call.run().succeeded();
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        let (_process, call) = line.split_once(' ').unwrap();
        if let Some((name, _)) = call.trim_start().split_once('(') {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

fn more(than: &BTreeMap<String, usize>, calls: &BTreeMap<String, usize>) -> Vec<(String, usize)> {
    let each = calls.iter().filter_map(|(name, count)| {
        let more = count.saturating_sub(than.get(name).copied().unwrap_or_default());
        (more > 0).then(|| (name.clone(), more))
    });
    each.collect()
}

#[test]
fn telemetry_costs_nothing_when_it_is_off_and_little_when_it_is_on() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("telemetry") {
            return;
        }
        let off = traced(lab, |call| call);
        for foreign in [
            "socket",
            "sendto",
            "sendmsg",
            "fallocate",
            "rename",
            "fstat",
        ] {
            assert!(!off.contains_key(foreign), "{foreign} in {off:?}");
        }
        let with_trace = |call: Call| call.env("TRACEPARENT", &parent("01")).env("BAGGAGE", "a=b");
        let ignored = traced(lab, with_trace);
        assert_eq!(off, ignored);
        let empty = traced(lab, |call| with_trace(call).env("LINKSPAN_TELEMETRY", ""));
        assert_eq!(off, empty);
        let dir = lab.dir().join("telemetry").to_str().unwrap().to_owned();
        let on = |call: Call| with_trace(call).env("LINKSPAN_TELEMETRY", &dir);
        // The first call makes the directory and the file of counters.
        traced(lab, on);
        let on = traced(lab, on);
        let count: usize = more(&off, &on).iter().map(|(_, count)| count).sum();
        // Ids; spans: open, stat, write, close; counters: open, stat, map, close. The clock and memory may ask, too.
        assert!(count <= 14, "{:?}", more(&off, &on));
        let journal = traced(lab, |call| call.env("LINKSPAN_TELEMETRY", ",journal=info"));
        let count: usize = more(&off, &journal).iter().map(|(_, count)| count).sum();
        assert!(count <= 6, "{:?}", more(&off, &journal));
    });
}
