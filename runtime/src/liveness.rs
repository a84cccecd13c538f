//! Whether the namespace of an attachment is still there.

use std::path::Path;

use linkspan_netlink::netns::{Netns, OpenErrorKind};

/// What can be told of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It is there.
    Alive,
    /// Nothing, or something else, is under its path.
    Gone,
    /// Nobody remembered its path, or the kernel does not let us look.
    Unknown,
}

/// The liveness of the namespace at `path`.
pub fn of_netns(path: &str) -> Liveness {
    if path.is_empty() {
        return Liveness::Unknown;
    }
    match Netns::open(Path::new(path)).map_err(|err| err.kind) {
        Ok(_) => Liveness::Alive,
        Err(OpenErrorKind::Missing | OpenErrorKind::NotNamespace) => Liveness::Gone,
        Err(OpenErrorKind::Io(_)) => Liveness::Unknown,
    }
}
