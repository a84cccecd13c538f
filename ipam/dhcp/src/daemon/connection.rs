//! One client: the greeting, then one call after another. A disconnect cancels the call.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use tokio::net::UnixStream;

use super::Daemon;
use crate::gob::Value;
use crate::gob::read::{Bytes, MAX, Reader};
use crate::rpc::{Answers, Args, HELLO, Header, WELCOME};

/// The answer of Go's server to another protocol.
const REFUSAL: &[u8] = b"HTTP/1.0 405 Method Not Allowed\nContent-Type: text/plain; charset=utf-8\n\n405 must CONNECT\n";

struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

/// Serves the client until it disconnects.
pub(crate) async fn serve(daemon: Rc<Daemon>, stream: UnixStream) -> io::Result<()> {
    let mut connection = Connection {
        stream,
        buffer: Vec::new(),
    };
    if !connection.greeting().await? {
        return connection.write(REFUSAL).await;
    }
    connection.write(WELCOME).await?;
    let (mut reader, mut answers) = (Reader::default(), Answers::default());
    while let Some(header) = connection.value(&mut reader).await? {
        let Some(body) = connection.value(&mut reader).await? else {
            return Ok(());
        };
        let (header, args) = (Header::from(&header), Args::from(&body));
        let call = daemon.call(&header.method, &args);
        let Some(outcome) = connection.unless_gone(call).await? else {
            return Ok(());
        };
        let answer = match &outcome {
            Ok(result) => answers.answer(&header, Ok(result.as_ref())),
            Err(trouble) => answers.answer(&header, Err(&trouble.to_string())),
        };
        connection.write(&answer).await?;
    }
    Ok(())
}

impl Connection {
    /// Reads more. Returns false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.buffer.len() > MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut chunk = [0; 4096];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut chunk) {
                Ok(length) => {
                    self.buffer.extend(chunk.get(..length).unwrap_or_default());
                    return Ok(length > 0);
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(err),
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Returns whether the client's greeting is of this protocol: a line, and headers that are ignored.
    async fn greeting(&mut self) -> io::Result<bool> {
        let path = HELLO.strip_suffix(b" HTTP/1.0\n\n").unwrap_or(HELLO);
        loop {
            let text = &self.buffer;
            let ends = |mark: &[u8]| {
                text.windows(mark.len())
                    .position(|part| part == mark)
                    .map(|at| at + mark.len())
            };
            if let Some(end) = ends(b"\n\n").or_else(|| ends(b"\r\n\r\n")) {
                let is_ours = self.buffer.starts_with(path);
                self.buffer.drain(..end);
                return Ok(is_ours);
            }
            if self.buffer.len() > 4096 || !self.fill().await? {
                return Ok(false);
            }
        }
    }

    /// The next value; `None` if the client has disconnected.
    async fn value(&mut self, reader: &mut Reader) -> io::Result<Option<Value>> {
        let broken = |err: crate::gob::Error| io::Error::new(io::ErrorKind::InvalidData, err);
        loop {
            let mut rest = Bytes(&self.buffer);
            let length = rest.uint();
            let start = self.buffer.len() - rest.0.len();
            let length = match length {
                Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Err(crate::gob::Error::Short) => usize::MIN,
                Err(err) => return Err(broken(err)),
            };
            if length > MAX {
                return Err(broken(crate::gob::Error::Long));
            }
            let end = start + length;
            let whole = (length > 0).then(|| self.buffer.get(start..end)).flatten();
            let Some(message) = whole else {
                if self.fill().await? {
                    continue;
                }
                return Ok(None);
            };
            let value = reader.message(message).map_err(broken)?;
            self.buffer.drain(..end);
            if value.is_some() {
                return Ok(value);
            }
        }
    }

    /// The outcome of `call`; `None` if the client disconnects first.
    async fn unless_gone<T>(&mut self, call: impl Future<Output = T>) -> io::Result<Option<T>> {
        let mut call = pin!(call);
        loop {
            let more = pin!(self.fill());
            match select(call.as_mut(), more).await {
                Either::Left((outcome, _)) => return Ok(Some(outcome)),
                Either::Right((more, _)) => {
                    if !more? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
