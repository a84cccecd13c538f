//! The errors of a store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linkspan_protocol::error::{ErrorCode, Explain};

/// Why the store could not be used.
#[derive(Debug)]
pub(crate) enum Error {
    /// An operation on a file failed.
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another process kept the lock too long.
    Busy {
        lock: PathBuf,
        waited: Duration,
        holder: String,
    },
}

impl Error {
    /// For `map_err`.
    pub(crate) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                action,
                path,
                source,
            } => write!(f, "{action} {}: {source}", path.display()),
            Self::Busy {
                lock,
                waited,
                holder,
            } => write!(
                f,
                "{} was still locked after {} s by {holder}",
                lock.display(),
                waited.as_secs()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Busy { .. } => None,
        }
    }
}

impl Explain for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::INTERNAL,
            Self::Busy { .. } => ErrorCode::TRY_AGAIN_LATER,
        }
    }

    fn hint(&self) -> Option<String> {
        let source = match self {
            Self::Io { source, .. } => source,
            Self::Busy { .. } => {
                let hint = "end that process if it hangs, or raise ipam.lockTimeout";
                return Some(hint.to_owned());
            }
        };
        if super::is_link(source) {
            let hint = "a symbolic link in place of a store is not followed; remove it, or move ipam.dataDir";
            return Some(hint.to_owned());
        }
        let hint = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "run as root, or set ipam.dataDir to a directory you may write"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "set ipam.dataDir to a directory on a writable filesystem"
            }
            io::ErrorKind::StorageFull => "free some space on the filesystem of ipam.dataDir",
            io::ErrorKind::NotADirectory => "ipam.dataDir must be a directory",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
