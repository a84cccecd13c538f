//! Keys and types, against a schema.

use linkspan_protocol::schema::Schema;
use serde_json::{Map, Value};

use super::{foreign, nearest::nearest};

/// The findings, each with its path.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The faults.
    pub(super) problems: Vec<String>,
    /// Remarks that are not faults.
    pub(super) notes: Vec<String>,
    /// Paths of values of the wrong type.
    pub(super) misfits: Vec<String>,
}

/// Judges `value`. Objects at the paths in `open` may have other keys.
pub(super) fn judge(value: &Value, schema: &Schema, open: &[&str]) -> Found {
    let mut judge = Judge {
        open,
        found: Found::default(),
    };
    judge.value(value, schema, "");
    judge.found
}

/// The finding for an unknown key: a fault where it is near a known one.
pub(super) fn unknown(key: &str, known: &[&str]) -> Result<&'static str, String> {
    match nearest(key, known.iter().copied()) {
        Some(meant) if !foreign::is_known(key) => Err(format!("did you mean {meant}?")),
        _ => Ok("unknown key"),
    }
}

struct Judge<'a> {
    open: &'a [&'a str],
    found: Found,
}

impl Judge<'_> {
    fn value(&mut self, value: &Value, schema: &Schema, path: &str) {
        let fits = match (schema, value) {
            // `null` means absent to every plugin.
            (Schema::Any, _)
            | (_, Value::Null)
            | (Schema::Bool, Value::Bool(_))
            | (Schema::Number, Value::Number(_))
            // The plugin refuses a wrong word itself, with a hint.
            | (Schema::Text | Schema::Word(_), Value::String(_)) => true,
            (Schema::Integer { least, greatest }, Value::Number(number)) => match number.as_u64() {
                Some(number) => number <= *greatest,
                None => number.as_i64().is_some_and(|number| number >= *least),
            },
            (Schema::Array(items), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(value, items, &format!("{path}[{index}]"));
                }
                true
            }
            (Schema::Map(values), Value::Object(members)) => {
                for (key, value) in members {
                    self.value(value, values, &below(path, key));
                }
                true
            }
            (Schema::Object(_), Value::Object(members)) => {
                self.object(members, schema, path);
                true
            }
            _ => false,
        };
        if !fits {
            let told = format!("{path}: {} is not {schema}", shown(value));
            self.found.problems.push(told);
            self.found.misfits.push(path.to_owned());
        }
    }

    fn object(&mut self, members: &Map<String, Value>, schema: &Schema, path: &str) {
        for (key, value) in members {
            let at = below(path, key);
            match schema.key(key) {
                Some(schema) => self.value(value, schema, &at),
                None if self.open.contains(&path) || key.starts_with("cni.dev/") => {}
                None => match unknown(key, &schema.keys().collect::<Vec<_>>()) {
                    Ok(note) => self.found.notes.push(format!("{at}: {note}")),
                    Err(problem) => self.found.problems.push(format!("{at}: {problem}")),
                },
            }
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The value itself where it is short, otherwise its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        short => short.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        let object = |keys: Vec<(&str, Schema)>| {
            Schema::Object(keys.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
        };
        let small = Schema::Integer {
            least: -1,
            greatest: 255,
        };
        let range = object(vec![("subnet", Schema::Text)]);
        let ranges = Schema::Array(Box::new(Schema::Array(Box::new(range))));
        object(vec![
            ("isGateway", Schema::Bool),
            ("vlan", small),
            ("ipam", object(vec![("ranges", ranges)])),
            ("args", object(vec![])),
            ("capabilities", Schema::Map(Box::new(Schema::Bool))),
        ])
    }

    #[test]
    fn a_key_that_is_nobodys_is_wrong_only_where_a_known_one_is_near_that_others_do_not_write() {
        let known = ["addIfs", "isGateway"];
        assert_eq!(
            unknown("isGatway", &known),
            Err("did you mean isGateway?".to_owned())
        );
        for note in ["colour", "addIf", "ADDIF"] {
            assert_eq!(unknown(note, &known), Ok("unknown key"), "{note}");
        }
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let conf = json!({
            "isGatway": true,
            "ISGATEWAY": null,
            "isgateway": "yes",
            "vlan": 256,
            "ipam": { "ranges": [[{ "subnet": 7, "rangestart": "x" }], {}] },
            "args": { "anything": 1 },
            "cni.dev/x": 1,
            "capabilities": { "mac": 1 },
        });
        let Found {
            mut problems,
            notes,
            mut misfits,
        } = judge(&conf, &schema(), &["args"]);
        problems.sort();
        misfits.sort();
        let expected = [
            "capabilities.mac: 1 is not true or false",
            "ipam.ranges[0][0].subnet: 7 is not a string",
            "ipam.ranges[1]: an object is not an array",
            "isGatway: did you mean isGateway?",
            "isgateway: \"yes\" is not true or false",
            "vlan: 256 is not a whole number from -1 to 255",
        ];
        assert_eq!(problems, expected);
        assert_eq!(notes, ["ipam.ranges[0][0].rangestart: unknown key"]);
        let of_another_type = [
            "capabilities.mac",
            "ipam.ranges[0][0].subnet",
            "ipam.ranges[1]",
            "isgateway",
            "vlan",
        ];
        assert_eq!(misfits, of_another_type);
        for (vlan, fits) in [(json!(-1), true), (json!(-2), false), (json!(1.5), false)] {
            let judged = judge(&json!({ "vlan": vlan }), &schema(), &[]);
            assert_eq!(judged.problems.is_empty(), fits, "{vlan}");
        }
    }
}
