//! Reads a text as Go's decoder does: a value that is not decoded may be anything that the grammar allows.
//!
//! `serde_json` checks the grammar and finds where each value begins and ends. It refuses three things in any place: a
//! number that no float can hold, half of a surrogate pair, and bytes that are not UTF-8. Go refuses the first one only
//! where the value is decoded, and reads U+FFFD in place of the others. So each value is parsed from its own part of
//! the text.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Error, Json};

/// The depth that `serde_json` itself allows.
const MAX_DEPTH: usize = 128;

/// The byte order marks of text editors, with the name of the encoding.
const MARKS: [(&[u8], &str); 3] = [
    (b"\xef\xbb\xbf", "UTF-8"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// Parses a whole text.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, Error> {
    for (mark, encoding) in MARKS {
        if bytes.starts_with(mark) {
            let text = format!("the text begins with a byte order mark ({encoding})");
            return Err(Error {
                hint: Some("save the file as UTF-8 without a byte order mark"),
                ..de::Error::custom(text)
            });
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let whole: &RawValue = serde_json::from_str(&text).map_err(de::Error::custom)?;
    value(whole.get(), MAX_DEPTH)
}

/// The value that is all of `text`, which is known to follow the grammar.
fn value(text: &str, depth: usize) -> Result<Json, Error> {
    let Some(depth) = depth.checked_sub(1) else {
        let text = format!("nested deeper than {MAX_DEPTH} levels");
        return Err(de::Error::custom(text));
    };
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = part(text)?;
            let members = members.into_iter();
            let members = members.map(|(Text(key), raw)| Ok((key, value(raw.get(), depth)?)));
            members.collect::<Result<_, _>>().map(Json::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = part(text)?;
            let items = items.into_iter().map(|raw| value(raw.get(), depth));
            items.collect::<Result<_, _>>().map(Json::Array)
        }
        Some(b'"') => part(text).map(|Text(text)| Json::String(text)),
        Some(b'-' | b'0'..=b'9') => Ok(match serde_json::from_str(text) {
            Ok(number) => Json::Number(number),
            Err(_out_of_range) => Json::Huge(text.to_owned()),
        }),
        _ => part(text),
    }
}

fn part<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(de::Error::custom)
}

/// An object whose values are not read yet.
struct Members<'a>(Vec<(Text, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visit)
    }
}

/// A string with U+FFFD in place of each half of a surrogate pair that lacks the other one.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl Visitor<'_> for Visit {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                let mut text = String::new();
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // Half a pair is three bytes, each a chunk of its own. Only the first one is 0xed.
                    if chunk.invalid().first() == Some(&0xed) {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Text(text))
            }
        }

        // `serde_json` accepts half a surrogate pair only where bytes are requested.
        deserializer.deserialize_bytes(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    fn parsed(text: &[u8]) -> String {
        serde_json::to_string(&parse(text).unwrap()).unwrap()
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        for text in [
            "null",
            "true",
            "-1.5",
            "18446744073709551615",
            r#""a\"b""#,
            r#"{"a":[1,{"b":[]},null],"a":false,"":""}"#,
        ] {
            assert_eq!(parsed(text.as_bytes()), text);
        }
        assert_eq!(parsed(b" { \"a\" :\t[ 1 , 2 ]\n} "), r#"{"a":[1,2]}"#);
        assert_eq!(parsed(br#""\ud83d\ude00\u00e9""#), "\"\u{1f600}\u{e9}\"");
    }

    #[test]
    fn what_go_tolerates_is_read_as_go_reads_it() {
        for (text, read) in [
            (
                &br#"{"a":1e999,"b":[-1e999]}"#[..],
                r#"{"a":1e999,"b":[-1e999]}"#,
            ),
            (br#""a\ud800""#, "\"a\u{fffd}\""),
            (br#""\udc00\ud800b""#, "\"\u{fffd}\u{fffd}b\""),
            (
                br#"{"\ud800":"\ud800\u0041"}"#,
                "{\"\u{fffd}\":\"\u{fffd}A\"}",
            ),
            (b"{\"a\xff\":\"\xfe\"}", "{\"a\u{fffd}\":\"\u{fffd}\"}"),
        ] {
            assert_eq!(parsed(text), read);
        }
    }

    #[test]
    fn the_grammar_is_held_everywhere() {
        for text in [
            &b"{\"a\":01}"[..],
            b"{\"a\":1.}",
            b"{\"a\":1e}",
            b"{\"a\":\"\n\"}",
            b"{\"a\":\"\\x\"}",
            b"{\"a\":\"\\ud80\"}",
            b"{\"a\":\"\\ud800\\ud8\"}",
            b"\xff{}",
            b"{}\xff",
        ] {
            assert!(parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        let told = parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!(told.to_string(), "nested deeper than 128 levels");
    }

    #[test]
    fn a_byte_order_mark_is_named() {
        for (text, encoding) in [
            (&b"\xef\xbb\xbf{}"[..], "UTF-8"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\xfe\xff\0{\0}", "UTF-16"),
        ] {
            let failure = Failure::from(parse(text).unwrap_err());
            let told = format!("the text begins with a byte order mark ({encoding})");
            assert_eq!(failure.message(), told);
            let hint = "hint: save the file as UTF-8 without a byte order mark";
            assert_eq!(failure.to_wire().details, hint);
        }
    }
}
