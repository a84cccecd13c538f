//! The failures of the agent.

use std::fmt;

use linkspan_netlink::error::Error as Kernel;

/// A step that failed. Each of them is told and tried again.
#[derive(Debug)]
pub enum Error {
    /// The API server refused, or did not answer.
    Api(Box<kube::Error>),
    /// The API server's answer lacks something.
    Answer(&'static str),
    /// The settings do not fit the cluster.
    Settings(String),
    /// The kernel refused.
    Kernel(Kernel),
    /// A file could not be written: its path, and the system's words.
    File(String, std::io::Error),
}

/// The result of a step.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(err) => write!(f, "the API server: {err}"),
            Self::Answer(lacks) => write!(f, "the API server's answer: {lacks}"),
            Self::Settings(why) => f.write_str(why),
            Self::Kernel(err) => err.fmt(f),
            Self::File(path, err) => write!(f, "write {path}: {err}"),
        }
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
