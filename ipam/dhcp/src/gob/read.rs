//! Decoding of a gob stream, with any sender's definitions.

use std::collections::BTreeMap;

use super::{Error, Value, builtin};

/// Maximum length of a message in bytes: a configuration and reserve.
pub(crate) const MAX: usize = 1 << 20;

/// Maximum depth of nested values: a result has a depth of five.
const DEPTH: usize = 12;

/// Maximum number of a sender's definitions.
const DEFINITIONS: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Definition {
    Struct(Vec<(String, i64)>),
    Slice(i64),
    Map(i64, i64),
}

/// The definitions of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    known: BTreeMap<i64, Definition>,
}

impl Reader {
    /// Decodes one message without its length: a value, or `None` for a definition.
    pub(crate) fn message(&mut self, message: &[u8]) -> Result<Option<Value>, Error> {
        if message.len() > MAX {
            return Err(Error::Long);
        }
        let mut rest = Bytes(message);
        let id = rest.int()?;
        if id < 0 {
            if self.known.len() >= DEFINITIONS {
                return Err(Error::Long);
            }
            let definition = definition(&mut rest)?;
            let id = id.checked_neg().ok_or(Error::Form)?;
            self.known.insert(id, definition);
            return rest.end().map(|()| None);
        }
        // A value other than a struct follows a zero, as if it were the only field of a struct.
        if !matches!(self.known.get(&id), Some(Definition::Struct(_))) && rest.uint()? != 0 {
            return Err(Error::Form);
        }
        let value = self.value(id, &mut rest, DEPTH)?;
        rest.end().map(|()| Some(value))
    }

    fn value(&self, id: i64, rest: &mut Bytes<'_>, depth: usize) -> Result<Value, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Deep)?;
        match id {
            builtin::BOOL => Ok(Value::Bool(rest.uint()? != 0)),
            builtin::INT => Ok(Value::Int(rest.int()?)),
            builtin::UINT | builtin::FLOAT => Ok(Value::Uint(rest.uint()?)),
            builtin::BYTES | builtin::STRING => Ok(Value::Bytes(rest.bytes()?.to_vec())),
            _ => match self.known.get(&id).ok_or(Error::Type(id))? {
                Definition::Struct(fields) => self.fields(fields, rest, depth),
                Definition::Slice(element) => {
                    let count = rest.count()?;
                    let items = (0..count).map(|_at| self.value(*element, rest, depth));
                    Ok(Value::List(items.collect::<Result<_, _>>()?))
                }
                Definition::Map(key, element) => {
                    let mut items = Vec::new();
                    for _at in 0..rest.count()? {
                        items.push(self.value(*key, rest, depth)?);
                        items.push(self.value(*element, rest, depth)?);
                    }
                    Ok(Value::List(items))
                }
            },
        }
    }

    fn fields(
        &self,
        fields: &[(String, i64)],
        rest: &mut Bytes<'_>,
        depth: usize,
    ) -> Result<Value, Error> {
        let mut found = Vec::new();
        let mut next = 0_usize;
        while let Some(at) = rest.delta(next)? {
            let (name, id) = fields.get(at).ok_or(Error::Form)?;
            found.push((name.clone(), self.value(*id, rest, depth)?));
            next = at.checked_add(1).ok_or(Error::Form)?;
        }
        Ok(Value::Struct(found))
    }
}

/// A definition is a struct with one field for each kind of type. All of them begin with the type's name and id.
fn definition(rest: &mut Bytes<'_>) -> Result<Definition, Error> {
    let kind = rest.delta(0)?.ok_or(Error::Form)?;
    let mut numbers = [0_i64; 2];
    let mut fields = Vec::new();
    let mut next = 0;
    while let Some(at) = rest.delta(next)? {
        match (kind, at) {
            (_, 0) => common(rest)?,
            (2, 1) => {
                let count = rest.count()?;
                for _at in 0..count {
                    fields.push(field(rest)?);
                }
            }
            (0..=3, 1 | 2) => {
                let number = numbers.get_mut(at - 1).ok_or(Error::Form)?;
                *number = rest.int()?;
            }
            _ => return Err(Error::Form),
        }
        next = at + 1;
    }
    if rest.delta(0)?.is_some() {
        return Err(Error::Form);
    }
    let [first, second] = numbers;
    match kind {
        0 | 1 => Ok(Definition::Slice(first)),
        2 => Ok(Definition::Struct(fields)),
        3 => Ok(Definition::Map(first, second)),
        _ => Err(Error::Form),
    }
}

fn common(rest: &mut Bytes<'_>) -> Result<(), Error> {
    let mut next = 0;
    while let Some(at) = rest.delta(next)? {
        match at {
            0 => drop(rest.bytes()?),
            1 => drop(rest.int()?),
            _ => return Err(Error::Form),
        }
        next = at + 1;
    }
    Ok(())
}

fn field(rest: &mut Bytes<'_>) -> Result<(String, i64), Error> {
    let (mut name, mut id, mut next) = (String::new(), 0, 0);
    while let Some(at) = rest.delta(next)? {
        match at {
            0 => name = String::from_utf8_lossy(rest.bytes()?).into_owned(),
            1 => id = rest.int()?,
            _ => return Err(Error::Form),
        }
        next = at + 1;
    }
    Ok((name, id))
}

/// The rest of a message.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Error::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Error> {
        let (first, rest) = self.0.split_first().ok_or(Error::Short)?;
        self.0 = rest;
        if *first < 0x80 {
            return Ok((*first).into());
        }
        let count = usize::from(first.wrapping_neg());
        if count > 8 {
            return Err(Error::Form);
        }
        let digits = self.take(count)?;
        Ok(digits
            .iter()
            .fold(0, |number, digit| number << 8 | u64::from(*digit)))
    }

    fn int(&mut self) -> Result<i64, Error> {
        let number = self.uint()?;
        let magnitude = (number >> 1).cast_signed();
        Ok(if number & 1 == 1 {
            !magnitude
        } else {
            magnitude
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = usize::try_from(self.uint()?).map_err(|_huge| Error::Short)?;
        self.take(count)
    }

    /// The number of elements that follow. Each takes at least one byte.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.uint()?).map_err(|_huge| Error::Short)?;
        (count <= self.0.len()).then_some(count).ok_or(Error::Short)
    }

    /// The index of the next field, counted from `next`; `None` at the end of the struct.
    fn delta(&mut self, next: usize) -> Result<Option<usize>, Error> {
        let delta = usize::try_from(self.uint()?).map_err(|_huge| Error::Form)?;
        let Some(ahead) = delta.checked_sub(1) else {
            return Ok(None);
        };
        next.checked_add(ahead).map(Some).ok_or(Error::Form)
    }

    fn end(&self) -> Result<(), Error> {
        self.0.is_empty().then_some(()).ok_or(Error::Form)
    }
}
