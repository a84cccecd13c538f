//! A deserializer that records what a type asks for. Each probe walks one step further into the type.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::Schema;

/// A step into a value.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Key(&'static str),
    Element,
    Member,
}

/// The request of a type at the end of a path.
#[derive(Debug)]
enum Asked {
    Leaf(Schema),
    Array,
    Map,
    Object(&'static [&'static str]),
}

/// The schema at `path` in `T`; `path` comes back as it was.
pub(super) fn below<T: DeserializeOwned>(path: &mut Vec<Step>) -> Schema {
    let asked = RefCell::new(None);
    // Decoding always fails, because the probe stops at the type's request.
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

/// A deserializer that walks along a path and notes the request at its end.
#[derive(Clone, Copy)]
struct Probe<'a> {
    path: &'a [Step],
    asked: &'a RefCell<Option<Asked>>,
}

/// The probe is done, or the type asks for something else than before.
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

pub(super) const fn integer(least: i64, greatest: u64) -> Schema {
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
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stop> {
        self.leaf(Schema::Word(variants))
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
