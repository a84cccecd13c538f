//! Failures to obtain an address, in the words for the plugin.

use std::fmt;
use std::io;

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The namespace is gone or was replaced.
    NoNamespace(String),
    /// The namespace has no such interface.
    NoLink(String),
    /// The kernel refused.
    Kernel(String),
    /// The server refused.
    Nak(String),
    /// No server answered in time.
    NoTries,
    /// A server's answer is unusable.
    Answer(String),
    /// DEL came, or the plugin disconnected.
    Cancelled,
    /// The call is invalid.
    Call(String),
}

impl Trouble {
    /// Returns whether a retry may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Nak(_) | Self::NoTries | Self::Kernel(_) | Self::Answer(_)
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNamespace(text)
            | Self::Kernel(text)
            | Self::Answer(text)
            | Self::Call(text) => f.write_str(text),
            Self::NoLink(name) => write!(f, "error looking up {name:?}: Link not found"),
            Self::Nak(words) => write!(f, "server rejected request with Nak (msg: {words})"),
            Self::NoTries => f.write_str("no more tries"),
            Self::Cancelled => f.write_str("the request for an address was cancelled"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(err: io::Error) -> Self {
        Self::Kernel(err.to_string())
    }
}

impl From<linkspan_netlink::error::Error> for Trouble {
    fn from(err: linkspan_netlink::error::Error) -> Self {
        Self::Kernel(err.to_string())
    }
}
