//! The plugin's side of the calls to the daemon.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use crate::gob::Value;
use crate::gob::read::{Bytes, MAX, Reader};
use crate::rpc::{self, Args, HELLO, Header, NO_METHOD, WELCOME};

/// Deadline for the daemon's greeting. A daemon greets at once or never.
const GREETING: Duration = Duration::from_secs(10);

/// A connection to the daemon, after the greeting.
#[derive(Debug)]
pub(crate) struct Daemon {
    stream: UnixStream,
}

/// The outcome of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Success, with this result.
    Done(AddResult),
    /// The daemon does not know the call: it is the other suite's.
    Unknown,
}

impl Daemon {
    /// Connects; `None` if there is no listener.
    pub(crate) fn connect(path: &Path) -> Result<Option<Self>> {
        let dialled = UnixStream::connect(path);
        let stream = match dialled {
            Err(err)
                if matches!(
                    err.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            dialled => dialled.map_err(|err| not_dialled(path, &err.to_string()))?,
        };
        let mut daemon = Self { stream };
        daemon.greet().map_err(|err| {
            let told = format!(
                "error dialing DHCP daemon: {}: no answer ({err})",
                path.display()
            );
            Failure::new(ErrorCode::TRY_AGAIN_LATER, told).hint("look at the log of the daemon")
        })?;
        Ok(Some(daemon))
    }

    /// Connects. Fails if there is no listener.
    pub(crate) fn dial(path: &Path) -> Result<Self> {
        Self::connect(path)?.ok_or_else(|| not_dialled(path, "nobody listens there"))
    }

    fn greet(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(GREETING))?;
        self.stream.write_all(HELLO)?;
        let mut welcome = vec![0; WELCOME.len()];
        self.stream.read_exact(&mut welcome)?;
        if welcome != WELCOME {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// Makes a call, and waits up to `patience` for the answer.
    pub(crate) fn call(
        mut self,
        method: &str,
        args: &Args,
        patience: Option<Duration>,
    ) -> Result<Outcome> {
        let fail = |told: String| {
            Failure::new(
                ErrorCode::INTERNAL,
                format!("error calling {method}: {told}"),
            )
        };
        // From here on the daemon may have carried out the call, whatever fails.
        let lost = |err: io::Error| fail(err.to_string()).in_doubt();
        self.stream.set_read_timeout(patience).map_err(lost)?;
        self.stream
            .write_all(&rpc::call(method, args))
            .map_err(lost)?;
        let mut input = BufReader::new(self.stream);
        let mut reader = Reader::default();
        let header = Header::from(&value(&mut input, &mut reader).map_err(lost)?);
        if header.error.starts_with(NO_METHOD) {
            return Ok(Outcome::Unknown);
        }
        if !header.error.is_empty() {
            return Err(fail(header.error));
        }
        let body = value(&mut input, &mut reader).map_err(lost)?;
        let result = rpc::result(&body).map_err(|err| fail(err.to_string()).in_doubt())?;
        Ok(Outcome::Done(result))
    }
}

/// Reads messages until one is a value.
fn value(input: &mut impl Read, reader: &mut Reader) -> io::Result<Value> {
    let broken = |err: crate::gob::Error| io::Error::new(ErrorKind::InvalidData, err);
    loop {
        let mut head = vec![0];
        input.read_exact(&mut head)?;
        let mut more = head
            .first()
            .filter(|byte| **byte >= 0x80)
            .map_or(0, |byte| byte.wrapping_neg());
        while more > 0 && head.len() < 9 {
            let mut byte = [0];
            input.read_exact(&mut byte)?;
            head.extend(byte);
            more -= 1;
        }
        let length = Bytes(&head).uint().map_err(broken)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX);
        let length = length.ok_or_else(|| broken(crate::gob::Error::Long))?;
        let mut message = vec![0; length];
        input.read_exact(&mut message)?;
        if let Some(value) = reader.message(&message).map_err(broken)? {
            return Ok(value);
        }
    }
}

fn not_dialled(path: &Path, why: &str) -> Failure {
    let told = format!(
        "error dialing DHCP daemon: dial unix {}: connect: {why}",
        path.display()
    );
    Failure::new(ErrorCode::INTERNAL, told)
        .hint("start the daemon: `dhcp daemon`, or the unit linkspan-dhcp.socket")
}
