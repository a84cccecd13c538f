//! gRPC calls over a socket of the node, with the parts of HTTP/2 and protocol buffers that short messages need.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Types of frames, and their flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The only stream of a connection.
const STREAM: u32 = 1;

/// A message under construction.
#[derive(Debug, Default, Clone)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a number.
    #[must_use]
    pub fn number(mut self, field: u8, value: u16) -> Self {
        self.0.push(field << 3);
        self.varint(usize::from(value));
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, field: u8, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u8, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(value.len());
        self.0.extend(value);
        self
    }

    fn varint(&mut self, mut value: usize) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// The numbers in a field, booleans included.
    pub fn numbers(&self, field: u8) -> Vec<usize> {
        let of_field = |(key, value)| match value {
            Field::Number(number) if key == field => Some(number),
            _ => None,
        };
        self.fields().into_iter().filter_map(of_field).collect()
    }

    /// The messages in a field.
    pub fn messages(&self, field: u8) -> Vec<Self> {
        let of_field = |(key, value)| match value {
            Field::Bytes(bytes) if key == field => Some(Self(bytes)),
            _ => None,
        };
        self.fields().into_iter().filter_map(of_field).collect()
    }

    /// The texts in a field.
    pub fn texts(&self, field: u8) -> Vec<String> {
        let text = |message: Self| String::from_utf8(message.0).unwrap();
        self.messages(field).into_iter().map(text).collect()
    }

    fn fields(&self) -> Vec<(u8, Field)> {
        let (mut rest, mut fields) = (&*self.0, Vec::new());
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let value = match key & 7 {
                0 => Field::Number(take_varint(&mut rest)),
                2 => {
                    let length = take_varint(&mut rest);
                    let (bytes, after) = rest.split_at(length);
                    rest = after;
                    Field::Bytes(bytes.to_vec())
                }
                // A fixed width, which no message here has.
                kind => {
                    rest = &rest[if kind == 1 { 8 } else { 4 }..];
                    continue;
                }
            };
            fields.push((u8::try_from(key >> 3).unwrap(), value));
        }
        fields
    }
}

/// A value in a message, by its form.
enum Field {
    Number(usize),
    Bytes(Vec<u8>),
}

fn take_varint(rest: &mut &[u8]) -> usize {
    let length = 1 + rest.iter().take_while(|byte| **byte > 0x7f).count();
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    let digits = bytes.iter().rev();
    digits.fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f))
}

/// The answer of `method`. An error has only its name, since its text is compressed; the engine's log has the text.
pub fn call(socket: &Path, method: &str, request: &Message) -> Result<Message, String> {
    let told = |err: io::Error| format!("{method}: {err}");
    let mut stream = UnixStream::connect(socket).map_err(told)?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    exchange(&mut stream, method, request).map_err(told)?
}

fn exchange(
    stream: &mut UnixStream,
    method: &str,
    request: &Message,
) -> io::Result<Result<Message, String>> {
    let mut body = vec![0];
    body.extend(u32::try_from(request.0.len()).unwrap().to_be_bytes());
    body.extend(&request.0);
    stream.write_all(PREFACE)?;
    send(stream, (SETTINGS, 0, 0), &[])?;
    send(stream, (HEADERS, END_HEADERS, STREAM), &headers(method))?;
    send(stream, (DATA, END_STREAM, STREAM), &body)?;
    let mut answer = Vec::new();
    loop {
        let (kind, flags, payload) = receive(stream)?;
        match kind {
            SETTINGS if flags & ACK == 0 => send(stream, (SETTINGS, ACK, 0), &[])?,
            PING if flags & ACK == 0 => send(stream, (PING, ACK, 0), &payload)?,
            DATA => answer.extend(payload),
            HEADERS if flags & END_STREAM == 0 => {}
            HEADERS | RST_STREAM | GOAWAY => {
                // Five bytes precede a message; an error has no message.
                let message = answer.get(5..).map(|bytes| Message(bytes.to_vec()));
                return Ok(message.ok_or_else(|| format!("{method} failed")));
            }
            _ => {}
        }
    }
}

/// The headers of a call: indexes of HPACK's static table if possible, and literals without indexing.
fn headers(method: &str) -> Vec<u8> {
    const POST: u8 = 0x83;
    const HTTP: u8 = 0x86;
    let mut block = vec![POST, HTTP];
    let mut literal = |name: &[u8], values: &[&str]| {
        block.extend(name);
        for value in values {
            block.push(u8::try_from(value.len()).unwrap());
            block.extend(value.as_bytes());
        }
    };
    literal(&[4], &[method]);
    literal(&[1], &["localhost"]);
    literal(&[0x0f, 31 - 0x0f], &["application/grpc"]);
    literal(&[0], &["te", "trailers"]);
    block
}

fn send(
    stream: &mut UnixStream,
    (kind, flags, of): (u8, u8, u32),
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(of.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame)
}

fn receive(stream: &mut UnixStream) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let [high, middle, low, kind, flags, ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    Ok((kind, flags, payload))
}
