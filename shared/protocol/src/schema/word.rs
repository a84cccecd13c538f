//! Values that are one of a few words.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A type whose values are written as words.
pub trait Words {
    /// All of them.
    const WORDS: &'static [&'static str];
}

/// Decodes any string where one of the words of `T` is asked for; for `#[serde(deserialize_with)]`.
///
/// The schema learns the words. The plugin refuses a wrong one itself, with code 7 like every impossible value; the
/// decoder would use code 6.
pub fn word<'de, T: Words, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    deserializer
        .deserialize_enum("word", T::WORDS, Text)
        .map(Some)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use serde::Deserialize;

    struct Colour;

    impl Words for Colour {
        const WORDS: &'static [&'static str] = &["red", "blue"];
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Conf {
        #[serde(deserialize_with = "word::<Colour, _>")]
        colour: Option<String>,
    }

    #[test]
    fn a_word_is_any_string_absent_or_null() {
        let decode = |text: &str| Json::parse(text.as_bytes()).unwrap().decode::<Conf>();
        for (text, colour) in [
            (r#"{"colour":"red"}"#, Some("red")),
            (r#"{"Colour":"green"}"#, Some("green")),
            (r#"{"colour":null}"#, None),
            ("{}", None),
        ] {
            let colour = colour.map(str::to_owned);
            assert_eq!(decode(text).unwrap(), Conf { colour }, "{text}");
        }
        let wrong = decode(r#"{"colour":7}"#).unwrap_err().to_string();
        assert!(wrong.contains("expected a string"), "{wrong}");
    }
}
