//! Encoding of a gob stream, with our own definitions.

use super::builtin;

/// A type with a definition.
#[derive(Debug)]
pub(crate) struct Type {
    /// Its number, from 64 on.
    pub(crate) id: i64,
    /// Its name in Go.
    pub(crate) name: &'static str,
    /// Its structure.
    pub(crate) shape: Shape,
    /// Types to define after it, if it is the first type that needs them.
    pub(crate) needs: &'static [&'static Type],
}

/// The structure of a type.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Named fields, each with its type's number.
    Struct(&'static [(&'static str, i64)]),
    /// Elements of one type.
    Slice(i64),
}

impl Type {
    /// Appends the definitions of this type and of the types that it needs.
    pub(crate) fn define(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        int(&mut body, -self.id);
        let common = |body: &mut Vec<u8>| {
            let mut fields = Fields::new(body);
            fields.text(0, self.name);
            fields.int(1, self.id);
            fields.end();
        };
        match &self.shape {
            Shape::Struct(fields) => {
                uint(&mut body, 3);
                uint(&mut body, 1);
                common(&mut body);
                if !fields.is_empty() {
                    uint(&mut body, 1);
                    count(&mut body, fields.len());
                    for (name, id) in *fields {
                        let mut field = Fields::new(&mut body);
                        field.text(0, name);
                        field.int(1, *id);
                        field.end();
                    }
                }
            }
            Shape::Slice(element) => {
                uint(&mut body, 2);
                uint(&mut body, 1);
                common(&mut body);
                uint(&mut body, 1);
                int(&mut body, *element);
            }
        }
        body.extend([0, 0]);
        message(out, &body);
        for needed in self.needs {
            needed.define(out);
        }
    }

    /// Appends a message with one value of this struct.
    pub(crate) fn value(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Fields<'_>)) {
        let mut body = Vec::new();
        int(&mut body, self.id);
        let mut fields = Fields::new(&mut body);
        write(&mut fields);
        fields.end();
        message(out, &body);
    }
}

/// A struct's fields in ascending order. Zero values are left out, as in Go.
pub(crate) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    next: u64,
}

impl<'a> Fields<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, next: 0 }
    }

    fn begin(&mut self, at: u64) -> &mut Vec<u8> {
        uint(self.out, (at + 1).saturating_sub(self.next));
        self.next = at + 1;
        self.out
    }

    pub(crate) fn bytes(&mut self, at: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            string(self.begin(at), bytes);
        }
    }

    pub(crate) fn text(&mut self, at: u64, text: &str) {
        self.bytes(at, text.as_bytes());
    }

    pub(crate) fn int(&mut self, at: u64, number: i64) {
        if number != 0 {
            int(self.begin(at), number);
        }
    }

    pub(crate) fn uint(&mut self, at: u64, number: u64) {
        if number != 0 {
            uint(self.begin(at), number);
        }
    }

    pub(crate) fn texts(&mut self, at: u64, texts: &[String]) {
        if !texts.is_empty() {
            let out = self.begin(at);
            count(out, texts.len());
            for text in texts {
                string(out, text.as_bytes());
            }
        }
    }

    /// A struct as a field.
    pub(crate) fn nested(&mut self, at: u64, write: impl FnOnce(&mut Fields<'_>)) {
        let mut fields = Fields::new(self.begin(at));
        write(&mut fields);
        fields.end();
    }

    /// A slice of structs as a field.
    pub(crate) fn list<T>(&mut self, at: u64, items: &[T], write: impl Fn(&mut Fields<'_>, &T)) {
        if !items.is_empty() {
            let out = self.begin(at);
            count(out, items.len());
            for item in items {
                let mut fields = Fields::new(out);
                write(&mut fields, item);
                fields.end();
            }
        }
    }

    fn end(self) {
        self.out.push(0);
    }
}

fn message(out: &mut Vec<u8>, body: &[u8]) {
    count(out, body.len());
    out.extend(body);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend(bytes);
}

fn count(out: &mut Vec<u8>, count: usize) {
    uint(out, u64::try_from(count).unwrap_or(u64::MAX));
}

fn uint(out: &mut Vec<u8>, number: u64) {
    if let Ok(small) = u8::try_from(number)
        && small < 0x80
    {
        out.push(small);
        return;
    }
    let digits = number.to_be_bytes();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let significant = digits.get(zeros..).unwrap_or_default();
    let length = u8::try_from(significant.len()).unwrap_or_default();
    out.push(length.wrapping_neg());
    out.extend(significant);
}

fn int(out: &mut Vec<u8>, number: i64) {
    let shifted = number.cast_unsigned() << 1;
    uint(out, if number < 0 { !shifted } else { shifted });
}

/// `[]string`
pub(crate) const fn strings(id: i64) -> Type {
    Type {
        id,
        name: "[]string",
        shape: Shape::Slice(builtin::STRING),
        needs: &[],
    }
}
