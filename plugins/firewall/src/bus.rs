//! A D-Bus client that can call methods with string arguments.
//!
//! The messages follow the D-Bus specification, version 1 of the protocol. Input from a peer is not trusted: lengths
//! are bounded, and a malformed message ends the conversation.

use std::io::{self, ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use crate::message::{Answer, FIXED, Header, Method, Sizes, encode};

/// The time limit for all answers of the bus and the service.
const PATIENCE: Duration = Duration::from_secs(20);

/// The maximum size of an incoming message.
const LONGEST: usize = 1 << 20;

/// Maximum number of other messages before an answer.
const OTHERS: usize = 1000;

/// A conversation.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    serial: u32,
    until: Instant,
}

impl Bus {
    /// Joins the bus at one of the addresses, as `DBUS_SYSTEM_BUS_ADDRESS` has them.
    pub(crate) fn join(addresses: &str) -> io::Result<Self> {
        let mut failed = io::Error::new(ErrorKind::Unsupported, "no address of a local socket");
        for address in addresses.split(';') {
            match connect(address) {
                Ok(Some(stream)) => return Self::begin(stream),
                Ok(None) => {}
                Err(err) => failed = err,
            }
        }
        Err(failed)
    }

    fn begin(stream: UnixStream) -> io::Result<Self> {
        let mut bus = Self {
            stream,
            serial: 0,
            until: Instant::now() + PATIENCE,
        };
        let uid = geteuid().to_string();
        let digits = uid
            .bytes()
            .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        bus.write(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
        let said = bus.line()?;
        if !said.starts_with("OK ") {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the bus refuses us",
            ));
        }
        bus.write(b"BEGIN\r\n")?;
        match bus.call(of_the_bus("Hello"), &[])? {
            Answer::Text(_name) => Ok(bus),
            _ => Err(senseless()),
        }
    }

    /// Calls a method with strings as its arguments.
    pub(crate) fn call(&mut self, method: Method<'_>, args: &[&str]) -> io::Result<Answer> {
        self.serial += 1;
        let serial = self.serial;
        self.write(&encode(serial, method, args))?;
        for _ in 0..OTHERS {
            let (header, body) = self.receive()?;
            if header.answers == Some(serial) {
                return header.answer(&body).ok_or_else(senseless);
            }
        }
        Err(senseless())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.rest()?))?;
        self.stream.write_all(bytes)
    }

    fn read(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.some(len - bytes.len())?);
        }
        Ok(bytes)
    }

    /// The next bytes, at most `len`.
    fn some(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        loop {
            self.stream.set_read_timeout(Some(self.rest()?))?;
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes.truncate(read);
                    return Ok(bytes);
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(err) => return Err(err),
            }
        }
    }

    fn rest(&self) -> io::Result<Duration> {
        let rest = self.until.saturating_duration_since(Instant::now());
        let is_left = !rest.is_zero();
        is_left.then_some(rest).ok_or(ErrorKind::TimedOut.into())
    }

    /// A line of the authentication.
    fn line(&mut self) -> io::Result<String> {
        const LINE: usize = 1024;
        let mut line = Vec::new();
        while line.len() < LINE {
            // The peer sends nothing more before our next line.
            line.extend(self.some(LINE)?);
            if let Some(text) = line.strip_suffix(b"\r\n") {
                return Ok(String::from_utf8_lossy(text).into_owned());
            }
        }
        Err(senseless())
    }

    fn receive(&mut self) -> io::Result<(Header, Vec<u8>)> {
        let fixed = self.read(FIXED)?;
        let sizes = Sizes::read(&fixed).filter(|sizes| sizes.whole() <= LONGEST);
        let sizes = sizes.ok_or_else(senseless)?;
        let rest = self.read(sizes.whole())?;
        let (fields, body) = rest.split_at_checked(sizes.fields).ok_or_else(senseless)?;
        let header = Header::read(&fixed, fields).ok_or_else(senseless)?;
        Ok((header, body.to_vec()))
    }
}

/// A method of the bus itself.
pub(crate) fn of_the_bus(name: &str) -> Method<'_> {
    Method {
        service: "org.freedesktop.DBus",
        object: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        name,
    }
}

/// Connects to an address; `None` if it is of another kind.
fn connect(address: &str) -> io::Result<Option<UnixStream>> {
    let Some(keys) = address.trim().strip_prefix("unix:") else {
        return Ok(None);
    };
    for key in keys.split(',') {
        match key.split_once('=') {
            Some(("path", path)) => {
                let path = PathBuf::from(std::ffi::OsStr::from_bytes(&unescaped(path)));
                return UnixStream::connect(path).map(Some);
            }
            Some(("abstract", name)) => {
                let address = SocketAddr::from_abstract_name(unescaped(name))?;
                return UnixStream::connect_addr(&address).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A value of an address, in which `%` and two digits stand for a byte.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        if let Some(byte) = byte.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn senseless() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a message that makes no sense")
}
