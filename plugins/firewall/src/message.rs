//! Messages of D-Bus as bytes. Pure.

/// A method of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) service: &'a str,
    pub(crate) object: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) name: &'a str,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The first string of the answer; empty without one.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// The error's name, and its text.
    Refused { name: String, text: String },
}

/// Length of a message's fixed start, which tells the length of the rest.
pub(crate) const FIXED: usize = 16;

/// Types of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Header fields.
mod field {
    pub(super) const OBJECT: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const NAME: u8 = 3;
    pub(super) const ERROR: u8 = 4;
    pub(super) const ANSWERS: u8 = 5;
    pub(super) const SERVICE: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// A call with string arguments.
pub(crate) fn encode(serial: u32, method: Method<'_>, args: &[&str]) -> Vec<u8> {
    let mut body = Writer::default();
    for arg in args {
        body.text(arg);
    }
    let mut fields = Writer::default();
    for (field, kind, value) in [
        (field::OBJECT, "o", method.object),
        (field::INTERFACE, "s", method.interface),
        (field::NAME, "s", method.name),
        (field::SERVICE, "s", method.service),
    ] {
        fields.pad(8);
        fields.0.push(field);
        fields.signature(kind);
        fields.text(value);
    }
    if !args.is_empty() {
        fields.pad(8);
        fields.0.push(field::SIGNATURE);
        fields.signature("g");
        fields.signature(&"s".repeat(args.len()));
    }
    let mut message = Writer(vec![b'l', CALL, 0, 1]);
    message.number(body.0.len());
    message.0.extend(serial.to_le_bytes());
    // The array of fields starts at a multiple of eight, so it was padded on its own.
    message.number(fields.0.len());
    message.0.extend(fields.0);
    message.pad(8);
    message.0.extend(body.0);
    message.0
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: usize) {
        self.pad(4);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }
}

/// Lengths of the parts after the fixed start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Length of the fields with their padding.
    pub(crate) fields: usize,
    body: usize,
}

impl Sizes {
    /// Decodes the fixed start of a message.
    pub(crate) fn read(fixed: &[u8]) -> Option<Self> {
        let mut reader = Reader::of(fixed, is_little(fixed)?);
        reader.at = 4;
        let body = reader.number()?;
        reader.at = 12;
        Some(Self {
            fields: reader.number()?.checked_next_multiple_of(8)?,
            body,
        })
    }

    pub(crate) fn whole(self) -> usize {
        self.fields.saturating_add(self.body)
    }
}

/// The relevant parts of a message's header.
#[derive(Debug, Default)]
pub(crate) struct Header {
    is_little: bool,
    kind: u8,
    /// The serial of the answered call.
    pub(crate) answers: Option<u32>,
    error: String,
    signature: String,
}

impl Header {
    /// Decodes the fixed start of a message and its fields.
    pub(crate) fn read(fixed: &[u8], fields: &[u8]) -> Option<Self> {
        let mut header = Self {
            is_little: is_little(fixed)?,
            kind: *fixed.get(1)?,
            ..Self::default()
        };
        let mut reader = Reader::of(fields, header.is_little);
        // Padding looks like a field with number 0.
        while let Some(field) = reader.field().filter(|field| *field > 0) {
            match reader.signature()?.as_str() {
                "s" | "o" => {
                    let text = reader.text()?;
                    if field == field::ERROR {
                        header.error = text;
                    }
                }
                "u" => {
                    let number = reader.number()?;
                    if field == field::ANSWERS {
                        header.answers = u32::try_from(number).ok();
                    }
                }
                "g" => {
                    let text = reader.signature()?;
                    if field == field::SIGNATURE {
                        header.signature = text;
                    }
                }
                _ => return None,
            }
        }
        Some(header)
    }

    /// The outcome of the call, from the message's body.
    pub(crate) fn answer(&self, body: &[u8]) -> Option<Answer> {
        let mut reader = Reader::of(body, self.is_little);
        let first = self.signature.chars().next();
        match (self.kind, first) {
            (RETURN, None) => Some(Answer::Text(String::new())),
            (RETURN, Some('s')) => reader.text().map(Answer::Text),
            (RETURN, Some('b')) => reader.number().map(|number| Answer::Bool(number == 1)),
            (ERROR, first) => Some(Answer::Refused {
                name: self.error.clone(),
                text: first
                    .filter(|first| *first == 's')
                    .and_then(|_| reader.text())
                    .unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

fn is_little(fixed: &[u8]) -> Option<bool> {
    match fixed.first()? {
        b'l' => Some(true),
        b'B' => Some(false),
        _ => None,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_little: bool,
}

impl<'a> Reader<'a> {
    fn of(bytes: &'a [u8], is_little: bool) -> Self {
        Self {
            bytes,
            at: 0,
            is_little,
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn pad(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn number(&mut self) -> Option<usize> {
        self.pad(4);
        let bytes = self.take(4)?.first_chunk().copied()?;
        let number = if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(number).ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()?;
        let text = self.take(len)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok()
    }

    fn signature(&mut self) -> Option<String> {
        let len = usize::from(*self.take(1)?.first()?);
        let text = self.take(len)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok()
    }

    fn field(&mut self) -> Option<u8> {
        self.pad(8);
        self.take(1)?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_either_order_of_bytes_and_no_cut_one_is() {
        let mut message = encode(
            7,
            Method {
                service: "a.b",
                object: "/a",
                interface: "a.b",
                name: "c",
            },
            &["text", "more"],
        );
        // A call of ours, turned into an answer to itself.
        message[1] = RETURN;
        let sizes = Sizes::read(&message).unwrap();
        let (fields, body) = message[FIXED..].split_at(sizes.fields);
        assert_eq!(sizes.whole(), message.len() - FIXED);
        let header = Header::read(&message[..FIXED], fields).unwrap();
        assert_eq!(header.signature, "ss");
        assert_eq!(header.answer(body), Some(Answer::Text("text".to_owned())));
        for end in 0..8 {
            assert_eq!(header.answer(&body[..end]), None);
        }
        for end in 0..fields.len() {
            drop(Header::read(&message[..FIXED], &fields[..end]));
        }
        let big = Header {
            kind: RETURN,
            signature: "b".to_owned(),
            ..Header::default()
        };
        assert_eq!(big.answer(&[0, 0, 0, 1]), Some(Answer::Bool(true)));
    }
}
