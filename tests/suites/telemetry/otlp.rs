//! OTLP's JSON as `opentelemetry/proto/trace/v1` has it: every key is known, 64-bit numbers are text, ids are hexadecimal.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TracesData {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scope {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names are those of OTLP")]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_span_id: String,
    #[serde(default)]
    pub(crate) trace_state: String,
    flags: u32,
    pub(crate) name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(default)]
    attributes: Vec<KeyValue>,
    pub(crate) status: Option<Status>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    code: u8,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

/// One of the kinds of values.
#[derive(Debug, Clone, Deserialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    /// A number of 64 bits.
    #[serde(rename = "intValue")]
    Number(String),
}

impl Span {
    pub(crate) fn attributes(&self) -> BTreeMap<&str, &str> {
        let each = self.attributes.iter().map(|one| match &one.value {
            AnyValue::Text(text) => (&*one.key, &**text),
            AnyValue::Number(number) => {
                number.parse::<i64>().unwrap();
                (&*one.key, &**number)
            }
        });
        each.collect()
    }

    /// When it began and ended.
    pub(crate) fn times(&self) -> (u64, u64) {
        let time = |text: &str| text.parse().unwrap();
        (
            time(&self.start_time_unix_nano),
            time(&self.end_time_unix_nano),
        )
    }
}

fn is_id(text: &str, length: usize) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(is_hex) && text.bytes().any(|digit| digit != b'0')
}

/// The spans of a line, all of which are sound.
pub(crate) fn spans(line: &str) -> Vec<Span> {
    let data: TracesData = serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
    let [resource] = data.resource_spans.try_into().unwrap();
    let of = resource.resource.attributes.iter();
    assert!(of.clone().any(|one| one.key == "service.name"), "{line}");
    let [scope] = resource.scope_spans.try_into().unwrap();
    assert_eq!(scope.scope.name, "linkspan");
    for span in &scope.spans {
        assert!(
            is_id(&span.trace_id, 32) && is_id(&span.span_id, 16),
            "{span:?}"
        );
        assert!(is_id(&span.parent_span_id, 16), "{span:?}");
        assert!(
            (1..=5).contains(&span.kind) && span.flags & 1 == 1,
            "{span:?}"
        );
        assert!(!span.name.is_empty(), "{span:?}");
        let (from, to) = span.times();
        assert!(from <= to && from > 0, "{span:?}");
        let is_failure = span.status.as_ref().is_none_or(|status| status.code == 2);
        assert!(is_failure, "{span:?}");
    }
    scope.spans
}
