//! The subset of Go's `encoding/gob` between the reference's plugin and daemon: structs, slices, strings, bytes and
//! numbers. A reader follows the received definitions; a writer sends its own.

pub(crate) mod read;
pub(crate) mod write;

use std::fmt;

/// A decoded value. Fields with Go's zero value are not transmitted, so they are absent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number, or the bits of a float.
    Uint(u64),
    /// A string, or bytes.
    Bytes(Vec<u8>),
    /// A slice or an array.
    List(Vec<Value>),
    /// A struct.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The field, if it was sent.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Struct(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// The bytes of the field; empty if it was not sent.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        match self.field(name) {
            Some(Self::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// The text of the field.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// The number of the field.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        match self.field(name) {
            Some(Self::Int(number)) => Some(*number),
            Some(Self::Uint(number)) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The elements of the field.
    pub(crate) fn list(&self, name: &str) -> &[Self] {
        match self.field(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }
}

/// The reason why a stream is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    /// A message ends in the middle of a value.
    Short,
    /// A message is longer than those of the plugin and the daemon.
    Long,
    /// Values are nested deeper than those of the plugin and the daemon.
    Deep,
    /// A value has an undefined or unsupported type.
    Type(i64),
    /// A number, a field or a definition is invalid.
    Form,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("gob: a value is cut off"),
            Self::Long => f.write_str("gob: a message is too long"),
            Self::Deep => f.write_str("gob: values are nested too deep"),
            Self::Type(id) => write!(f, "gob: unknown type {id}"),
            Self::Form => f.write_str("gob: malformed value"),
        }
    }
}

impl std::error::Error for Error {}

/// Types without a definition.
pub(crate) mod builtin {
    pub(crate) const BOOL: i64 = 1;
    pub(crate) const INT: i64 = 2;
    pub(crate) const UINT: i64 = 3;
    pub(crate) const FLOAT: i64 = 4;
    pub(crate) const BYTES: i64 = 5;
    pub(crate) const STRING: i64 = 6;
}
