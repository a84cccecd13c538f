//! The failures of the agent.

use std::fmt;
use std::io;
use std::path::Path;

use linkspan_netlink::error::Error as Kernel;
use linkspan_protocol::error::Failure;

/// A failed step. Each failure is reported, and the step is repeated.
#[derive(Debug)]
pub enum Error {
    /// The API server refused, or did not answer.
    Api(Box<kube::Error>),
    /// The API server's answer lacks something.
    Answer(&'static str),
    /// No container engine listed its sandboxes.
    Engine(String),
    /// The settings do not fit the cluster or this host.
    Settings(String),
    /// The kernel refused a route or a link.
    Kernel(Kernel),
    /// The packet filter could not be changed.
    Filter(Failure),
    /// A file could not be read or written: its path, and the system's words.
    File(String, io::Error),
}

/// The result of a step.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A system error about a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        |err| Self::File(path, err)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(err) => write!(f, "the API server: {}", Whole(err.as_ref())),
            Self::Answer(lacks) => write!(f, "the API server's answer: {lacks}"),
            Self::Engine(why) => write!(
                f,
                "no engine tells of its sandboxes, and nothing is detached: {why}"
            ),
            Self::Settings(why) => f.write_str(why),
            Self::Kernel(err) => err.fmt(f),
            Self::Filter(failure) => failure.fmt(f),
            Self::File(path, err) => write!(f, "{path}: {err}"),
        }
    }
}

/// An error with its causes, such as the reason why a connection or a certificate was refused.
struct Whole<'a>(&'a dyn std::error::Error);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(err) = cause {
            let text = err.to_string();
            if !told.contains(&text) {
                told = format!("{told}: {text}");
            }
            cause = err.source();
        }
        f.write_str(&told.replace('\n', " "))
    }
}

impl std::error::Error for Error {}

impl From<kube::Error> for Error {
    fn from(err: kube::Error) -> Self {
        Self::Api(Box::new(err))
    }
}

impl From<Kernel> for Error {
    fn from(err: Kernel) -> Self {
        Self::Kernel(err)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Filter(failure)
    }
}
