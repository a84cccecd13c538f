//! Prometheus' exposition format, version 0.0.4.

use std::fmt::Display;

use serde_json::{Value, json};

/// The samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// The suffix of a histogram's samples, such as `_bucket`.
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: String,
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "gauge")
    }

    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "counter")
    }

    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, "histogram")
    }

    pub(super) fn add(&mut self, labels: &[(&'static str, &str)], value: impl Display) {
        self.add_part("", labels, value);
    }

    pub(super) fn add_part(
        &mut self,
        suffix: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Display,
    ) {
        let labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        self.samples.push(Sample {
            suffix,
            labels: labels.collect(),
            value: value.to_string(),
        });
    }

    /// An object for each sample. Its value is text, as in Prometheus' own JSON: numbers may be too large for others.
    pub(super) fn json(&self) -> Vec<Value> {
        let object = |one: &Sample| {
            let labels = one.labels.iter();
            let labels = labels.map(|(name, value)| json!({ "name": name, "value": value }));
            json!({
                "name": format!("{}{}", self.name, one.suffix),
                "type": self.kind,
                "labels": labels.collect::<Vec<_>>(),
                "value": one.value,
            })
        };
        self.samples.iter().map(object).collect()
    }
}

/// The text. A family without samples is left out.
pub(super) fn exposition(families: &[Family]) -> String {
    let there = families.iter().filter(|family| !family.samples.is_empty());
    there.map(block).collect()
}

fn block(family: &Family) -> String {
    let Family {
        name, help, kind, ..
    } = family;
    let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    let line = |sample: &Sample| {
        let labels: Vec<String> = sample.labels.iter().map(label).collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        format!("{name}{}{labels} {}\n", sample.suffix, sample.value)
    };
    let lines = family.samples.iter().map(line);
    [head].into_iter().chain(lines).collect()
}

fn label((name, value): &(&'static str, String)) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_empty_families_left_out() {
        let mut family = Family::gauge("a", "An a.");
        family.add(&[("x", "q\"\\\n"), ("y", "z")], 3);
        family.add(&[], "0.5");
        let text = exposition(&[family, Family::counter("b", "None.")]);
        let expected = "# HELP a An a.\n# TYPE a gauge\na{x=\"q\\\"\\\\\\n\",y=\"z\"} 3\na 0.5\n";
        assert_eq!(text, expected);
    }
}
