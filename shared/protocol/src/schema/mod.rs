//! The shape of a configuration, learned from the type that decodes it, by the type's requests to its deserializer. So
//! the schema of a plugin cannot differ from the plugin, and its types need no second derive.

mod probe;
mod word;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub use word::{Words, word};

/// The JSON that a type decodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// Anything.
    Any,
    /// `true` or `false`
    Bool,
    /// A whole number, both ends inclusive.
    Integer {
        /// The least one.
        least: i64,
        /// The greatest one.
        greatest: u64,
    },
    /// A number.
    Number,
    /// A string.
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// An array of one kind of element.
    Array(Box<Schema>),
    /// An object with any keys and one kind of value.
    Map(Box<Schema>),
    /// An object with these keys, in the order of the type.
    Object(Vec<(String, Schema)>),
}

impl Schema {
    /// The schema of `T`, which must not contain itself.
    pub fn of<T: DeserializeOwned>() -> Self {
        probe::below::<T>(&mut Vec::new())
    }

    /// The schema of both: the keys of both objects, each with the more specific schema of its value.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Object(mut keys), Self::Object(others)) => {
                for (key, theirs) in others {
                    match keys.iter_mut().find(|(known, _)| *known == key) {
                        None => keys.push((key, theirs)),
                        Some((_, ours)) => {
                            *ours = std::mem::replace(ours, Self::Any).and(theirs);
                        }
                    }
                }
                Self::Object(keys)
            }
            (Self::Any, known) | (known, _) => known,
        }
    }

    /// The schema of `key`, matched as plugins match keys: in any case.
    pub fn key(&self, key: &str) -> Option<&Self> {
        let Self::Object(keys) = self else {
            return None;
        };
        let found = keys
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, schema)| schema)
    }

    /// The keys of an object.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = match self {
            Self::Object(keys) => keys.as_slice(),
            _ => &[],
        };
        keys.iter().map(|(key, _)| key.as_str())
    }

    /// The same as JSON Schema. Unknown keys stay allowed, as plugins ignore them, and so does `null`.
    pub fn to_json(&self) -> Value {
        let kind = |name: &str| json!([name, "null"]);
        match self {
            Self::Any => json!({}),
            Self::Bool => json!({ "type": kind("boolean") }),
            Self::Integer { least, greatest } => {
                json!({ "type": kind("integer"), "minimum": least, "maximum": greatest })
            }
            Self::Number => json!({ "type": kind("number") }),
            Self::Text => json!({ "type": kind("string") }),
            Self::Word(words) => {
                let values = words.iter().map(|word| json!(word)).chain([Value::Null]);
                json!({ "enum": values.collect::<Vec<_>>() })
            }
            Self::Array(items) => json!({ "type": kind("array"), "items": items.to_json() }),
            Self::Map(values) => {
                json!({ "type": kind("object"), "additionalProperties": values.to_json() })
            }
            Self::Object(keys) => {
                let keys: Map<String, Value> = keys
                    .iter()
                    .map(|(key, schema)| (key.clone(), schema.to_json()))
                    .collect();
                json!({ "type": kind("object"), "properties": keys })
            }
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("a value"),
            Self::Bool => f.write_str("true or false"),
            Self::Integer { least, greatest } if *least < 0 && *greatest >= 1 << 62 => {
                f.write_str("a whole number")
            }
            Self::Integer { least, greatest } => {
                write!(f, "a whole number from {least} to {greatest}")
            }
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a string"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Array(_) => f.write_str("an array"),
            Self::Map(_) | Self::Object(_) => f.write_str("an object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::probe::integer;
    use super::*;
    use crate::addr::{Cidr, optional_cidr};
    use crate::json::Json;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Conf {
        is_gateway: bool,
        #[serde(rename = "type")]
        kind: Option<String>,
        #[serde(deserialize_with = "optional_cidr")]
        subnet: Option<Cidr>,
        inner: Option<Inner>,
        nested: Vec<Vec<Inner>>,
        capabilities: BTreeMap<String, bool>,
        #[serde(deserialize_with = "word::<Colour, _>")]
        colour: Option<String>,
        shape: Option<Shape>,
        anything: Option<Json>,
    }

    struct Colour;

    impl Words for Colour {
        const WORDS: &'static [&'static str] = &["red", "blue"];
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Round,
        Square,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is of interest")]
    struct Inner {
        required: Cidr,
        #[serde(default)]
        small: u8,
    }

    fn object(keys: &[(&str, Schema)]) -> Schema {
        let keys = keys.iter().cloned();
        Schema::Object(keys.map(|(key, schema)| (key.to_owned(), schema)).collect())
    }

    #[test]
    fn a_schema_is_what_the_type_asks_for() {
        let inner = object(&[("required", Schema::Text), ("small", integer(0, 255))]);
        let nested = Schema::Array(Box::new(Schema::Array(Box::new(inner.clone()))));
        let expected = object(&[
            ("isGateway", Schema::Bool),
            ("type", Schema::Text),
            ("subnet", Schema::Text),
            ("inner", inner),
            ("nested", nested),
            ("capabilities", Schema::Map(Box::new(Schema::Bool))),
            ("colour", Schema::Word(&["red", "blue"])),
            ("shape", Schema::Word(&["round", "square"])),
            ("anything", Schema::Any),
        ]);
        assert_eq!(Schema::of::<Conf>(), expected);
    }

    #[test]
    fn two_schemas_make_one_with_the_keys_of_both() {
        let one = object(&[("a", Schema::Any), ("in", object(&[("x", Schema::Bool)]))]);
        let other = object(&[("a", Schema::Text), ("in", object(&[("y", Schema::Text)]))]);
        let both = object(&[("x", Schema::Bool), ("y", Schema::Text)]);
        assert_eq!(one.and(other), object(&[("a", Schema::Text), ("in", both)]));
    }

    #[test]
    fn json_schema_allows_null_and_what_is_unknown() {
        let schema = object(&[
            ("mtu", integer(0, 255)),
            ("colour", Schema::Word(&["red", "blue"])),
            ("any", Schema::Any),
        ]);
        let expected = json!({
            "type": ["object", "null"],
            "properties": {
                "mtu": { "type": ["integer", "null"], "minimum": 0, "maximum": 255 },
                "colour": { "enum": ["red", "blue", null] },
                "any": {},
            },
        });
        assert_eq!(schema.to_json(), expected);
        assert_eq!(schema.key("MTU"), Some(&integer(0, 255)));
    }
}
