//! The steps of a plugin's call, where a person wants to see them: the plugin records them itself, as for a collector.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::scratch::Scratch;

/// The caller's trace and span. Nobody else reads what is recorded of it.
const PARENT: &str = "0000000000000001";
const TRACE: &str = "00000000000000000000000000000001";

/// A step, in the order of their beginnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Such as `ipam`.
    pub name: String,
    /// How many steps it lies in, the call itself included.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// Where a plugin records its steps.
#[derive(Debug)]
pub(crate) struct Recorder(Scratch);

impl Recorder {
    /// Where no directory can be made, nothing is recorded.
    pub(crate) fn new() -> Option<Self> {
        Scratch::new("steps").ok().map(Self)
    }

    /// The variables with those that have the plugin record.
    pub(crate) fn asking<'a>(&self, env: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
        let mut env = env.to_vec();
        let dir = self.0.path().display().to_string();
        env.push(("LINKSPAN_TELEMETRY", dir));
        env.push(("TRACEPARENT", format!("00-{TRACE}-{PARENT}-01")));
        env
    }

    /// The steps below the call. A plugin of another suite records none.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let text = fs::read_to_string(self.0.path().join("spans.jsonl"));
        read(&text.unwrap_or_default())
    }
}

#[derive(Debug)]
struct Span {
    id: String,
    parent: String,
    name: String,
    from: u64,
    to: u64,
    failed: bool,
}

fn read(text: &str) -> Vec<Step> {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut spans: Vec<Span> = lines.flat_map(|line| of_line(&line)).collect();
    spans.sort_by_key(|span| span.from);
    let depth = |span: &Span| {
        let (mut depth, mut parent) = (0, &span.parent);
        while let Some(above) = spans.iter().find(|other| other.id == *parent) {
            (depth, parent) = (depth + 1, &above.parent);
            if depth > spans.len() {
                break;
            }
        }
        depth
    };
    let steps = spans.iter().map(|span| Step {
        name: span.name.clone(),
        depth: depth(span),
        took: Duration::from_nanos(span.to.saturating_sub(span.from)),
        failed: span.failed,
    });
    steps.filter(|step| step.depth > 0).collect()
}

fn of_line(line: &Value) -> Vec<Span> {
    let spans = line.pointer("/resourceSpans/0/scopeSpans/0/spans");
    let spans = spans.and_then(Value::as_array).into_iter().flatten();
    let span = |span: &Value| {
        let text = |key: &str| span.get(key).and_then(Value::as_str);
        Some(Span {
            id: text("spanId")?.to_owned(),
            parent: text("parentSpanId")?.to_owned(),
            name: text("name")?.to_owned(),
            from: text("startTimeUnixNano")?.parse().ok()?,
            to: text("endTimeUnixNano")?.parse().ok()?,
            failed: span.get("status").is_some(),
        })
    };
    spans.filter_map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_the_order_of_their_beginnings_and_know_how_deep_they_are() {
        let span = |id: &str, parent: &str, from: u32| {
            serde_json::json!({ "spanId": id, "parentSpanId": parent, "name": id,
                "startTimeUnixNano": from.to_string(), "endTimeUnixNano": (from + 5).to_string() })
        };
        let line = |spans: &[Value]| {
            let spans =
                serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
            format!("{spans}\n")
        };
        // The delegate ends before its caller, so its line comes first.
        let text = line(&[span("delegate", "ipam", 4)])
            + &line(&[
                span("call", PARENT, 1),
                span("ipam", "call", 3),
                span("link", "call", 2),
            ])
            + "not a line";
        let told: Vec<(String, usize)> = read(&text)
            .into_iter()
            .map(|step| (step.name, step.depth))
            .collect();
        let expected = [("link", 1), ("ipam", 1), ("delegate", 2)];
        assert_eq!(told, expected.map(|(name, depth)| (name.to_owned(), depth)));
        // A circle, which no plugin makes, has an end.
        assert_eq!(
            read(&line(&[span("a", "b", 1), span("b", "a", 2)])).len(),
            2
        );
    }
}
