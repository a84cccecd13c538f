//! JSON as clients of the Go suite rely on it: keys in any case, `null` = absent, unknown keys ignored, the last
//! duplicate wins and two objects are merged, integers written as integers. And the output form: four spaces, no final
//! newline.
//!
//! Serde's derived structs name their fields to the deserializer; keys are matched there, so configuration types must
//! not use `#[serde(flatten)]` (it hides the names) and should be `#[serde(default)]`.

mod decode;
mod lenient;
mod parse;

use std::fmt;
use std::iter;

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use self::decode::Layers;

/// A JSON value that keeps the order and the duplicates of its keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A number that no float can hold, as it was written.
    Huge(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

/// Why a JSON text could not be decoded, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Such as `ipam.ranges[0]`; empty at the top.
    pub path: String,
    /// The steps of that path, innermost first.
    trail: Vec<Step>,
    message: String,
    pub(crate) hint: Option<&'static str>,
    /// Whether the message may quote the value. It may for a networking key. A value below `args` comes from a pod's
    /// annotations and may be a secret.
    may_quote: bool,
}

/// One step down into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

impl Error {
    fn at(mut self, key: &str) -> Self {
        self.trail.push(Step::Key(key.to_owned()));
        self.under(key)
    }

    fn at_item(mut self, item: usize) -> Self {
        self.trail.push(Step::Item(item));
        self.under(&format!("[{item}]"))
    }

    fn under(mut self, segment: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{segment}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if self.may_quote && self.path.starts_with("args.") {
            return f.write_str("the value does not fit");
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: String::new(),
            trail: Vec::new(),
            message: message.to_string(),
            hint: None,
            may_quote: true,
        }
    }

    /// Names the kind of the value instead of quoting it, as the reference does.
    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Str(_) => "string",
            de::Unexpected::Bool(_) => "boolean",
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "integer",
            de::Unexpected::Float(_) => "number",
            de::Unexpected::Seq => "array",
            de::Unexpected::Map => "object",
            de::Unexpected::Other(kind) => kind,
            _ => "value",
        };
        Self {
            may_quote: false,
            ..Self::custom(format_args!("invalid type: {found}, expected {wanted}"))
        }
    }
}

impl Json {
    /// Parses a whole text; anything but white space after the value is an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        parse::parse(bytes)
    }

    /// Decodes into `T` with the leniency described above.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(Layers::from(self))
    }

    /// The same, but treats values that do not fit as absent. The value of a key in `needed` (such as `ipam.type`), its
    /// parts, and the objects around it are never left out: there a misfit is an error.
    pub fn decode_leniently<T: DeserializeOwned>(&self, needed: &[&str]) -> Result<T, Error> {
        lenient::decode(self, needed)
    }

    /// Returns whether the object has the key in any case, even with `null`.
    pub fn has(&self, key: &str) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|(name, _)| folds_to(name, key)),
            _ => false,
        }
    }

    /// The value of the last key that equals `key` in any case and is not `null`.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .rev()
            .find(|(name, value)| folds_to(name, key) && *value != Self::Null)
            .map(|(_, value)| value)
    }

    /// The string, where this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its type, as errors name it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) | Self::Huge(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    fn unexpected(&self) -> de::Unexpected<'_> {
        de::Unexpected::Other(self.kind())
    }
}

fn folds_to(name: &str, key: &str) -> bool {
    name == key
        || name.eq_ignore_ascii_case(key)
        || (!name.is_ascii() && name.to_lowercase() == key.to_lowercase())
}

/// Prints with four spaces of indentation, no final newline and Go's escapes (`<`, `>`, `&`, U+2028, U+2029).
pub fn pretty(value: &impl Serialize) -> String {
    // Our wire types have string keys and write to memory: neither can fail.
    let printed = serde_json::to_string_pretty(value);
    debug_assert!(printed.is_ok(), "wire types serialize: {printed:?}");
    // The formatter with four spaces needs "std" of serde_json. No string has a line break in JSON, so each line begins
    // with its indentation, of two spaces a level.
    let mut text = String::new();
    for line in printed.unwrap_or_default().lines() {
        let indentation = line.len() - line.trim_start_matches(' ').len();
        text.extend(iter::repeat_n(' ', indentation));
        text.push_str(line);
        text.push('\n');
    }
    // Outside of strings JSON has none of these characters, so replacing them in the text is safe.
    text.trim_end()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        let huge = || if value < 0.0 { "-1e999" } else { "1e999" };
        let number = serde_json::Number::from_f64(value).map(Json::Number);
        Ok(number.unwrap_or_else(|| Json::Huge(huge().to_owned())))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::Huge(text) => RawValue::from_string(text.clone())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(k, v)| (k, v))),
        }
    }
}

#[cfg(test)]
mod tests;
