//! JSON as clients of the Go suite rely on it: keys in any case, `null` = absent, unknown keys ignored, the last
//! duplicate wins, integers written as integers. And the output form: four spaces, no final newline.
//!
//! Serde's derived structs name their fields to the deserializer; that is where keys are matched, so configuration
//! types must not use `#[serde(flatten)]` (it hides the names) and should be `#[serde(default)]`.

mod decode;

use std::fmt;

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{ErrorCode, Explain};

/// A JSON value that keeps the order and the duplicates of its keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
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
    message: String,
    /// Whether the message may hold the value itself. That of a networking key is worth quoting; what is below `args`
    /// comes from a pod's annotations, may be a secret, and is not.
    may_quote: bool,
}

impl Error {
    fn at(mut self, segment: &str) -> Self {
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
            return f.write_str("this is no value for it");
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
            may_quote: true,
        }
    }

    /// Of a value in a wrong place its kind is enough to know, as in the reference.
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

impl Explain for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::DECODING
    }
}

impl Json {
    /// Parses a whole text; anything but white space after the value is an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(de::Error::custom)
    }

    /// Decodes into `T` with the leniency described above.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self)
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

    fn unexpected(&self) -> de::Unexpected<'_> {
        match self {
            Self::Null => de::Unexpected::Other("null"),
            Self::Bool(value) => de::Unexpected::Bool(*value),
            Self::Number(_) => de::Unexpected::Other("number"),
            Self::String(text) => de::Unexpected::Str(text),
            Self::Array(_) => de::Unexpected::Other("array"),
            Self::Object(_) => de::Unexpected::Other("object"),
        }
    }
}

fn folds_to(name: &str, key: &str) -> bool {
    name == key
        || name.eq_ignore_ascii_case(key)
        || (!name.is_ascii() && name.to_lowercase() == key.to_lowercase())
}

/// Prints with four spaces of indentation, no final newline and Go's escapes (`<`, `>`, `&`, U+2028, U+2029).
pub fn pretty(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    // Our wire types have string keys and write to memory: neither can fail.
    let printed = value.serialize(&mut serializer);
    debug_assert!(printed.is_ok(), "wire types serialize: {printed:?}");
    // Outside of strings JSON has none of these characters, so replacing them in the text is safe.
    String::from_utf8_lossy(&out)
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
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("number out of range"))
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
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(k, v)| (k, v))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Conf {
        is_gateway: bool,
        mtu: i64,
        bridge: String,
        names: Vec<String>,
        inner: Inner,
        maybe: Option<u32>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        list: Vec<Vec<u8>>,
    }

    fn decode(text: &str) -> Result<Conf, Error> {
        Json::parse(text.as_bytes())?.decode()
    }

    #[test]
    fn keys_fold_null_is_absent_unknown_is_ignored() {
        let conf = decode(
            r#"{"ISGATEWAY":true,"Mtu":1400,"bridge":null,"names":null,"x":[1],"inner":null,"maybe":null}"#,
        );
        let want = Conf {
            is_gateway: true,
            mtu: 1400,
            ..Conf::default()
        };
        assert_eq!(conf, Ok(want));
    }

    #[test]
    fn the_last_duplicate_wins_in_any_case_and_null_does_not_count() {
        assert_eq!(decode(r#"{"mtu":1,"MTU":2,"mtu":3}"#).unwrap().mtu, 3);
        assert_eq!(decode(r#"{"mtu":1,"MTU":2}"#).unwrap().mtu, 2);
        assert_eq!(decode(r#"{"MTU":2,"mtu":null}"#).unwrap().mtu, 2);
    }

    #[test]
    fn null_elements_are_zero_values() {
        let conf = decode(r#"{"names":[null,"a"],"inner":{"list":[null,[1]]}}"#).unwrap();
        assert_eq!(conf.names, ["", "a"]);
        assert_eq!(conf.inner.list, [vec![], vec![1]]);
    }

    #[test]
    fn wrong_types_name_the_path() {
        for (text, path) in [
            (r#"{"mtu":"1500"}"#, "mtu"),
            (r#"{"mtu":1500.0}"#, "mtu"),
            (r#"{"mtu":1e3}"#, "mtu"),
            (r#"{"isGateway":"true"}"#, "isGateway"),
            (r#"{"inner":{"list":[[1],[2,"x"]]}}"#, "inner.list[1][1]"),
            (r#"{"inner":[]}"#, "inner"),
            (r#"{"maybe":-1}"#, "maybe"),
            ("[]", ""),
        ] {
            assert_eq!(decode(text).unwrap_err().path, path, "{text}");
        }
    }

    #[test]
    fn a_value_in_a_wrong_place_is_told_by_its_kind() {
        for (text, says) in [
            (
                r#"{"mtu":"canary"}"#,
                "mtu: invalid type: string, expected i64",
            ),
            (
                r#"{"bridge":7}"#,
                "bridge: invalid type: integer, expected a string",
            ),
            (
                r#"{"bridge":{"a":"canary"}}"#,
                "bridge: invalid type: object, expected a string",
            ),
            (r#""canary""#, "invalid type: string, expected struct Conf"),
        ] {
            assert_eq!(decode(text).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn what_is_wrong_below_args_is_named_and_not_quoted() {
        #[derive(Debug, Deserialize)]
        struct Conf {
            #[serde(rename = "args")]
            _args: Args,
        }
        #[derive(Debug, Deserialize)]
        struct Args {
            #[serde(rename = "ip", deserialize_with = "crate::addr::optional_ip")]
            _ip: Option<std::net::IpAddr>,
        }
        let json = Json::parse(br#"{"args":{"ip":"canary"}}"#).unwrap();
        let told = json.decode::<Conf>().unwrap_err().to_string();
        assert_eq!(told, "args.ip: this is no value for it");
    }

    #[test]
    fn only_one_whole_value_is_accepted() {
        for text in ["", " ", "{", "{} x", "{}{}", "nul", "\u{0}"] {
            assert!(decode(text).is_err(), "{text}");
        }
        assert!(decode("{} \n\t").is_ok());
        assert!(decode(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn output_is_indented_and_escaped_as_go_does() {
        assert_eq!(
            pretty(&serde_json::json!({"b": "<&>\u{2028}", "a": []})),
            "{\n    \"a\": [],\n    \"b\": \"\\u003c\\u0026\\u003e\\u2028\"\n}"
        );
    }
}
