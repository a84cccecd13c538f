//! Errors as the protocol carries them: a code, one line that names the object, and a hint (spec section 5, "Error").

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json;

/// An error code of the spec, or a plugin's own from 100 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// 1: the plugin does not speak the configuration's `cniVersion`.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// 2: a field of the configuration is not supported.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// 3: the container is unknown or does not exist.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// 4: a `CNI_*` variable is missing or invalid.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// 5: input or output failed.
    pub const IO: Self = Self(5);
    /// 6: content could not be decoded.
    pub const DECODING: Self = Self(6);
    /// 7: the network configuration is invalid.
    pub const INVALID_NETWORK_CONFIG: Self = Self(7);
    /// 8: the network namespace is invalid (libcni's own code; not in the spec's table).
    pub const INVALID_NETNS: Self = Self(8);
    /// 11: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(11);
    /// 50: STATUS: the plugin could not serve an ADD.
    pub const NOT_AVAILABLE: Self = Self(50);
    /// 999: any other error.
    pub const INTERNAL: Self = Self(999);
}

/// The parts of a leaf error beside its text.
pub trait Explain: Error {
    /// The code on the wire.
    fn code(&self) -> ErrorCode {
        ErrorCode::INTERNAL
    }

    /// The remedy, as an imperative.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The kernel's own words, or another fact outside of the sentence.
    fn detail(&self) -> Option<String> {
        None
    }
}

impl Explain for json::Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::DECODING
    }

    fn hint(&self) -> Option<String> {
        self.hint.map(str::to_owned)
    }
}

/// The failure of a verb, on its way to stdout.
#[derive(Debug)]
pub struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: ErrorCode,
    /// Outermost last.
    context: Vec<String>,
    source: Box<dyn Error>,
    details: Vec<String>,
    hint: Option<String>,
    notes: Vec<String>,
    /// A delegate's error object as it was printed.
    relayed: Option<(Vec<u8>, WireError)>,
    in_doubt: bool,
}

#[derive(Debug)]
struct Message(Cow<'static, str>);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Message {}

impl Failure {
    /// A failure found by a check.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            code,
            context: Vec::new(),
            source: Box::new(Message(message.into())),
            details: Vec::new(),
            hint: None,
            notes: Vec::new(),
            relayed: None,
            in_doubt: false,
        }))
    }

    /// A configuration that asks for something impossible: code 7.
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::INVALID_NETWORK_CONFIG, message)
    }

    /// An error object that a delegated plugin printed; it is passed on byte for byte.
    pub fn relayed(printed: Vec<u8>, error: WireError) -> Self {
        let mut failure = Self::new(ErrorCode(error.code), error.msg.clone());
        failure.0.relayed = Some((printed, error));
        failure
    }

    /// Adds the step that failed; the last one added comes first in the message.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.0.context.push(what.into());
        self
    }

    /// Overrides the code.
    #[must_use]
    pub fn with_code(mut self, code: ErrorCode) -> Self {
        self.0.code = code;
        self
    }

    /// Adds a fact outside of the sentence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.details.push(detail.into());
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Marks the failure as in doubt: another program, or the kernel, may have done the work before it died or its
    /// reply was lost.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        self.0.in_doubt = true;
        self
    }

    /// Whether the work may have been done despite the failure.
    pub fn is_in_doubt(&self) -> bool {
        self.0.in_doubt
    }

    /// Adds another failure, such as that of an undo step.
    pub fn note(&mut self, note: impl Into<String>) {
        self.0.notes.push(note.into());
    }

    /// The code on the wire.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// `msg`: context and root cause on one line.
    pub fn message(&self) -> String {
        let mut message = String::new();
        for context in self.0.context.iter().rev() {
            message.push_str(context);
            message.push_str(": ");
        }
        message.push_str(&self.0.source.to_string());
        one_line(&message)
    }

    /// The error object. A delegate's own object stays as it is unless there is a note to add.
    pub fn to_wire(&self) -> WireError {
        let mut details = self.0.details.clone();
        let (code, msg) = match &self.0.relayed {
            Some((_, error)) => {
                details.push(error.details.clone());
                (error.code, error.msg.clone())
            }
            None => (self.0.code.0, self.message()),
        };
        details.retain(|detail| !detail.is_empty());
        details.extend(self.0.hint.iter().map(|hint| format!("hint: {hint}")));
        details.extend(self.0.notes.iter().cloned());
        WireError {
            code,
            msg,
            details: one_line(&details.join("; ")),
        }
    }

    /// The bytes for stdout.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0.relayed {
            Some((printed, _)) if self.0.notes.is_empty() => printed.clone(),
            _ => json::pretty(&self.to_wire()).into_bytes(),
        }
    }
}

fn one_line(text: &str) -> String {
    text.trim().replace(['\n', '\r'], " ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_wire().fmt(f)
    }
}

impl<E: Explain + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut failure = Self::new(error.code(), "");
        failure.0.hint = error.hint();
        failure.0.details.extend(error.detail());
        failure.0.source = Box::new(error);
        failure
    }
}

/// The error object on stdout. `cniVersion` is left out, as libcni does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WireError {
    /// Numeric code.
    pub code: u32,
    /// One line.
    pub msg: String,
    /// Details and hints.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, "; {}", self.details)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_reads_outermost_first_on_one_line() {
        let failure = Failure::config("no\nsuch thing")
            .context("inner")
            .context("outer")
            .hint("do this");
        assert_eq!(failure.message(), "outer: inner: no such thing");
        assert_eq!(failure.to_wire().details, "hint: do this");
    }

    #[test]
    fn a_relayed_error_is_byte_identical_until_a_note_is_added() {
        let printed = b"{ \"code\" : 11, \"msg\":\"busy\" }".to_vec();
        let error = WireError {
            code: 11,
            msg: "busy".into(),
            ..WireError::default()
        };
        let mut failure = Failure::relayed(printed.clone(), error).context("not shown");
        assert_eq!(failure.to_bytes(), printed);
        failure.note("undo delete eth0: no");
        assert_eq!(
            String::from_utf8(failure.to_bytes()).unwrap(),
            "{\n    \"code\": 11,\n    \"msg\": \"busy\",\n    \"details\": \"undo delete eth0: no\"\n}"
        );
    }
}
