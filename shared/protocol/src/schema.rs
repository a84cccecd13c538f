//! The shape of a configuration, learned from the type that decodes it: what a type asks its deserializer for is what
//! it accepts. So the schema of a plugin cannot differ from the plugin, and its types need no second derive.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value, json};

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
    /// An array of one kind of element.
    Array(Box<Schema>),
    /// An object with any keys and one kind of value.
    Map(Box<Schema>),
    /// An object with these keys, in the order of the type.
    Object(Vec<(String, Schema)>),
}

impl Schema {
    /// What `T` decodes. `T` must not contain itself.
    pub fn of<T: DeserializeOwned>() -> Self {
        below::<T>(&mut Vec::new())
    }

    /// What decodes both: the keys of both objects, and where one knows more about a value, what it knows.
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
            Self::Array(_) => f.write_str("an array"),
            Self::Map(_) | Self::Object(_) => f.write_str("an object"),
        }
    }
}

/// A step into a value.
#[derive(Debug, Clone)]
enum Step {
    Key(&'static str),
    Element,
    Member,
}

/// What a type asked for at the end of a path.
#[derive(Debug)]
enum Asked {
    Leaf(Schema),
    Array,
    Map,
    Object(&'static [&'static str]),
}

/// The schema at `path` in `T`; `path` comes back as it was.
fn below<T: DeserializeOwned>(path: &mut Vec<Step>) -> Schema {
    let asked = RefCell::new(None);
    // Decoding always fails: it is over as soon as the type has told what it wants.
    drop(T::deserialize(Probe {
        path,
        asked: &asked,
    }));
    let mut at = |step| {
        path.push(step);
        let schema = below::<T>(path);
        path.pop();
        schema
    };
    match asked.into_inner() {
        None => Schema::Any,
        Some(Asked::Leaf(schema)) => schema,
        Some(Asked::Array) => Schema::Array(Box::new(at(Step::Element))),
        Some(Asked::Map) => Schema::Map(Box::new(at(Step::Member))),
        Some(Asked::Object(fields)) => Schema::Object(
            fields
                .iter()
                .map(|field| ((*field).to_owned(), at(Step::Key(field))))
                .collect(),
        ),
    }
}

/// A deserializer that walks along a path and notes what is asked for at its end.
#[derive(Clone, Copy)]
struct Probe<'a> {
    path: &'a [Step],
    asked: &'a RefCell<Option<Asked>>,
}

/// That the probe is done, or that the type wants something else than before.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the probe is done")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}

impl<'a> Probe<'a> {
    fn note<T>(self, asked: Asked) -> Result<T, Stop> {
        *self.asked.borrow_mut() = Some(asked);
        Err(Stop)
    }

    fn leaf<T>(self, schema: Schema) -> Result<T, Stop> {
        self.note(Asked::Leaf(schema))
    }

    /// The probe of what is inside, unless this is the end of the path.
    fn inside(self) -> Option<(&'a Step, Self)> {
        let (step, path) = self.path.split_first()?;
        Some((step, Self { path, ..self }))
    }
}

/// One element, or one member, with a probe for its value.
struct Only<'a>(Option<(&'a str, Probe<'a>)>);

impl<'de> de::SeqAccess<'de> for Only<'_> {
    type Error = Stop;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        let taken = self.0.take();
        taken.map(|(_, probe)| seed.deserialize(probe)).transpose()
    }
}

impl<'de> de::MapAccess<'de> for Only<'_> {
    type Error = Stop;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let key = self.0.as_ref().map(|(key, _)| *key);
        key.map(|key| seed.deserialize(key.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let (_, probe) = self.0.take().ok_or(Stop)?;
        seed.deserialize(probe)
    }
}

/// Leaves, by the method that asks for them.
macro_rules! leaves {
    ($($method:ident => $schema:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Stop> {
            self.leaf($schema)
        })*
    };
}

const fn integer(least: i64, greatest: u64) -> Schema {
    Schema::Integer { least, greatest }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    leaves! {
        deserialize_any => Schema::Any;
        deserialize_bool => Schema::Bool;
        deserialize_i8 => integer(i8::MIN.into(), i8::MAX.unsigned_abs().into());
        deserialize_i16 => integer(i16::MIN.into(), i16::MAX.unsigned_abs().into());
        deserialize_i32 => integer(i32::MIN.into(), i32::MAX.unsigned_abs().into());
        deserialize_i64 => integer(i64::MIN, i64::MAX.unsigned_abs());
        deserialize_u8 => integer(0, u8::MAX.into());
        deserialize_u16 => integer(0, u16::MAX.into());
        deserialize_u32 => integer(0, u32::MAX.into());
        deserialize_u64 => integer(0, u64::MAX);
        deserialize_f32 => Schema::Number;
        deserialize_f64 => Schema::Number;
        deserialize_char => Schema::Text;
        deserialize_str => Schema::Text;
        deserialize_string => Schema::Text;
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stop> {
        self.leaf(Schema::Text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.inside() {
            None => self.note(Asked::Array),
            Some((_, probe)) => visitor.visit_seq(Only(Some(("", probe)))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.inside() {
            None => self.note(Asked::Map),
            Some((_, probe)) => visitor.visit_map(Only(Some(("", probe)))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.inside() {
            Some((Step::Key(key), probe)) => visitor.visit_map(Only(Some((key, probe)))),
            _ => self.note(Asked::Object(fields)),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
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
        anything: Option<Json>,
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
        let schema = object(&[("mtu", integer(0, 255)), ("any", Schema::Any)]);
        let expected = json!({
            "type": ["object", "null"],
            "properties": {
                "mtu": { "type": ["integer", "null"], "minimum": 0, "maximum": 255 },
                "any": {},
            },
        });
        assert_eq!(schema.to_json(), expected);
        assert_eq!(schema.key("MTU"), Some(&integer(0, 255)));
    }
}
