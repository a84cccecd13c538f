//! A bus with a test double of firewalld, with only the plugin's methods.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// Sources, each with its zone.
type Zones = BTreeMap<String, String>;

/// firewalld, on a separate bus.
#[derive(Debug, Clone)]
pub(crate) struct Firewalld {
    zones: Arc<Mutex<Zones>>,
}

impl Firewalld {
    /// Starts the bus at a path.
    #[expect(
        clippy::disallowed_methods,
        reason = "it answers while the test waits for the plugin"
    )]
    pub(crate) fn start(path: &Path) -> Self {
        let own = Self {
            zones: Arc::default(),
        };
        let listener = UnixListener::bind(path).unwrap();
        let served = own.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let served = served.clone();
                thread::spawn(move || served.serve(&stream.unwrap()));
            }
        });
        own
    }

    pub(crate) fn zones(&self) -> Zones {
        self.zones.lock().unwrap().clone()
    }

    /// Forgets the sources without a file, like a reload.
    pub(crate) fn reload(&self) {
        self.zones.lock().unwrap().clear();
    }

    pub(crate) fn put(&self, source: &str, zone: &str) {
        let mut zones = self.zones.lock().unwrap();
        zones.insert(source.to_owned(), zone.to_owned());
    }

    fn serve(&self, mut stream: &UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "BEGIN\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim_start_matches('\0').trim_end() {
                // The client asks for the mechanisms.
                "AUTH" => stream.write_all(b"REJECTED EXTERNAL\r\n")?,
                "BEGIN" => {}
                "AUTH EXTERNAL" => stream.write_all(b"DATA\r\n")?,
                words if words.starts_with("AUTH EXTERNAL ") || words.starts_with("DATA") => {
                    stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")?;
                }
                _ => stream.write_all(b"ERROR\r\n")?,
            }
        }
        loop {
            let call = Call::read(&mut reader)?;
            // A foreign signal comes first.
            stream.write_all(&signal())?;
            stream.write_all(&self.answer(&call))?;
        }
    }

    fn answer(&self, call: &Call) -> Vec<u8> {
        let mut zones = self.zones.lock().unwrap();
        let arg = |at: usize| call.args.get(at).cloned().unwrap_or_default();
        let refused = |text: &str| call.error(text);
        match &*call.member {
            "Hello" => call.text(":1.1"),
            "GetNameOwner" => call.text(":1.0"),
            "addSource" => match zones.get(&arg(1)) {
                Some(zone) if *zone == arg(0) => refused("ZONE_ALREADY_SET: '10.0.0.2'"),
                Some(_) => refused("ZONE_CONFLICT: '10.0.0.2' already bound to a zone"),
                None => {
                    zones.insert(arg(1), arg(0));
                    call.text(&arg(0))
                }
            },
            "removeSource" => match zones.remove(&arg(1)) {
                Some(zone) => call.text(&zone),
                None => refused("UNKNOWN_SOURCE"),
            },
            "querySource" => call.boolean(zones.get(&arg(1)) == Some(&arg(0))),
            "getZoneOfSource" => call.text(zones.get(&arg(0)).map_or("", String::as_str)),
            _ => refused("UNKNOWN_METHOD"),
        }
    }
}

/// A call of a method.
struct Call {
    serial: u32,
    member: String,
    args: Vec<String>,
}

impl Call {
    fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut fixed = [0; 16];
        reader.read_exact(&mut fixed)?;
        let number = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().unwrap());
        assert_eq!(fixed[..2], *b"l\x01");
        let (body, fields) = (number(4) as usize, number(12) as usize);
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        reader.read_exact(&mut rest)?;
        let (head, body) = rest.split_at(fields.next_multiple_of(8));
        let mut member = String::new();
        let mut at = 0;
        while at < fields {
            at = at.next_multiple_of(8);
            let (field, kind) = (head[at], head[at + 2]);
            at += 4;
            if kind == b'g' {
                at += 2 + usize::from(head[at]);
            } else {
                let text = text(head, &mut at);
                if field == 3 {
                    member = text;
                }
            }
        }
        let (mut args, mut at) = (Vec::new(), 0);
        while at < body.len() {
            args.push(text(body, &mut at));
        }
        Ok(Self {
            serial: number(8),
            member,
            args,
        })
    }

    fn text(&self, text: &str) -> Vec<u8> {
        self.reply(2, "s", &string(text), &[])
    }

    fn boolean(&self, value: bool) -> Vec<u8> {
        self.reply(2, "b", &u32::from(value).to_le_bytes(), &[])
    }

    fn error(&self, text: &str) -> Vec<u8> {
        let mut name = vec![4, 1, b's', 0];
        name.extend(string("org.fedoraproject.FirewallD1.Exception"));
        self.reply(3, "s", &string(text), &name)
    }

    fn reply(&self, kind: u8, signature: &str, body: &[u8], more: &[u8]) -> Vec<u8> {
        let mut fields = vec![5, 1, b'u', 0];
        fields.extend(self.serial.to_le_bytes());
        fields.extend([8, 1, b'g', 0, 1]);
        fields.extend(signature.bytes());
        fields.push(0);
        if !more.is_empty() {
            fields.resize(fields.len().next_multiple_of(8), 0);
            fields.extend(more);
        }
        message(kind, &fields, body)
    }
}

/// A message that is not an answer.
fn signal() -> Vec<u8> {
    let mut fields = vec![3, 1, b's', 0];
    fields.extend(string("NameAcquired"));
    message(4, &fields, &[])
}

fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let mut message = vec![b'l', kind, 0, 1];
    for number in [body.len(), 1, fields.len()] {
        message.extend(u32::try_from(number).unwrap().to_le_bytes());
    }
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes.push(0);
    bytes
}

fn text(bytes: &[u8], at: &mut usize) -> String {
    let from = at.next_multiple_of(4);
    let len = u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap()) as usize;
    *at = from + 4 + len + 1;
    String::from_utf8(bytes[from + 4..from + 4 + len].to_vec()).unwrap()
}
