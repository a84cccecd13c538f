//! The lenient deserializer: a [`Json`] value as the source of any type that serde can derive.
//!
//! Go's decoder writes the values of a repeated key into the same field, one after the other. So the last one wins, but
//! a struct or a map keeps the keys that only an earlier object has. Each value must have the field's type.

use serde::Deserializer;
use serde::de::{self, IntoDeserializer, Visitor};

use super::{Error, Json, folds_to};

/// A value, with the objects that stand under the same key before it: Go's decoder merges them.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    last: &'a Json,
    /// The earlier ones, oldest first; empty where the last one is not an object.
    below: Vec<&'a Json>,
}

impl<'a> From<&'a Json> for Layers<'a> {
    fn from(last: &'a Json) -> Self {
        let below = Vec::new();
        Self { last, below }
    }
}

impl<'a> Layers<'a> {
    /// The value of `field`, where `members` have one.
    fn of_field(members: &[(&str, &'a Json)], field: &str) -> Result<Option<Self>, Error> {
        let given = members
            .iter()
            .filter(|(name, value)| **value != Json::Null && folds_to(name, field));
        let mut below: Vec<_> = given.map(|(_, value)| *value).collect();
        let Some(last) = below.pop() else {
            return Ok(None);
        };
        if let Some(odd) = below.iter().find(|value| value.kind() != last.kind()) {
            let error: Error = de::Error::invalid_type(odd.unexpected(), &last.kind());
            return Err(error.at(field));
        }
        if !matches!(last, Json::Object(_)) {
            below.clear();
        }
        Ok(Some(Self { last, below }))
    }

    fn members(&self) -> Vec<(&'a str, &'a Json)> {
        let layers = self.below.iter().copied().chain([self.last]);
        let members = layers.flat_map(|layer| match layer {
            Json::Object(members) => members.as_slice(),
            _ => &[],
        });
        members
            .map(|(name, value)| (name.as_str(), value))
            .collect()
    }
}

/// Members of an object, each key replaced by the field that it folds to.
struct Members<'a> {
    rest: std::vec::IntoIter<(&'a str, Layers<'a>)>,
    value: Option<(&'a str, Layers<'a>)>,
}

impl<'a> Members<'a> {
    fn of_struct(layers: &Layers<'a>, fields: &'static [&'static str]) -> Result<Self, Error> {
        let members = layers.members();
        let mut chosen = Vec::new();
        for field in fields {
            let value = Layers::of_field(&members, field)?;
            chosen.extend(value.map(|value| (*field, value)));
        }
        Ok(Self::new(chosen))
    }

    fn of_map(layers: &Layers<'a>) -> Self {
        let members = layers.members().into_iter();
        Self::new(members.map(|(name, value)| (name, value.into())).collect())
    }

    fn new(members: Vec<(&'a str, Layers<'a>)>) -> Self {
        Self {
            rest: members.into_iter(),
            value: None,
        }
    }
}

impl<'de> de::MapAccess<'de> for Members<'de> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.next();
        let key = self.value.as_ref().map(|(key, _)| *key);
        key.map(|key| seed.deserialize(key.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| <Error as de::Error>::custom("value before its key"))?;
        seed.deserialize(value).map_err(|err| err.at(key))
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Json>>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((at, item)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(Layers::from(item))
            .map(Some)
            .map_err(|err| err.at_item(at))
    }
}

/// `null` decodes as the zero value of the requested type.
macro_rules! zero_for_null {
    ($($method:ident => $visit:ident($zero:expr);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if *self.last == Json::Null { visitor.$visit($zero) } else { self.deserialize_any(visitor) }
        })*
    };
}

impl<'de> Deserializer<'de> for Layers<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.last {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Number(value) => {
                if let Some(value) = value.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = value.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(value.as_f64().unwrap_or(f64::NAN))
                }
            }
            Json::Huge(text) if text.starts_with('-') => visitor.visit_f64(f64::NEG_INFINITY),
            Json::Huge(_) => visitor.visit_f64(f64::INFINITY),
            Json::String(text) => visitor.visit_borrowed_str(text),
            Json::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Json::Object(_) => visitor.visit_map(Members::of_map(&self)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.last {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.last {
            Json::Null | Json::Object(_) => visitor.visit_map(Members::of_struct(&self, fields)?),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.last {
            Json::Null => visitor.visit_map(Members::of_map(&self)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.last {
            Json::Null => visitor.visit_seq(Items([].iter().enumerate())),
            _ => self.deserialize_any(visitor),
        }
    }

    zero_for_null! {
        deserialize_bool => visit_bool(false);
        deserialize_i8 => visit_i64(0);
        deserialize_i16 => visit_i64(0);
        deserialize_i32 => visit_i64(0);
        deserialize_i64 => visit_i64(0);
        deserialize_u8 => visit_u64(0);
        deserialize_u16 => visit_u64(0);
        deserialize_u32 => visit_u64(0);
        deserialize_u64 => visit_u64(0);
        deserialize_str => visit_str("");
        deserialize_string => visit_str("");
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}
