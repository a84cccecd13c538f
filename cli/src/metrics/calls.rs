//! How often plugins were called, and how long they took, where telemetry is on.

use super::text::Family;
use crate::suite::Counted;

/// The counters and the histogram, by verb and code.
pub(super) fn families(counted: &[Counted]) -> [Family; 2] {
    let mut calls = Family::counter(
        "linkspan_calls_total",
        "Calls of plugins by verb and by the code of the failure, 0 for none.",
    );
    let mut took = Family::histogram(
        "linkspan_call_duration_seconds",
        "How long calls of plugins took, by verb and code.",
    );
    for one in counted {
        let labels = [("verb", one.verb), ("code", &*one.code)];
        let count: u64 = one.buckets.iter().map(|(_, calls)| calls).sum();
        calls.add(&labels, count);
        let mut below = 0;
        for (bound, calls) in &one.buckets {
            below += calls;
            let bound = bound.map_or_else(
                || "+Inf".to_owned(),
                |bound| bound.as_secs_f64().to_string(),
            );
            let [verb, code] = labels;
            took.add_part("_bucket", &[verb, code, ("le", &bound)], below);
        }
        took.add_part("_sum", &labels, one.took.as_secs_f64());
        took.add_part("_count", &labels, count);
    }
    [calls, took]
}
