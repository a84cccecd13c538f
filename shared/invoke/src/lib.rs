//! Finding and executing a plugin, for delegation and for the runtime.

mod communicate;
mod exec;
mod find;

pub use communicate::{communicate, start};
pub use exec::{exec, exec_itself, exec_until};
pub use find::{find, split_path};

use std::fmt;
use std::path::PathBuf;

use linkspan_protocol::error::{ErrorCode, Explain};

/// Why a plugin could not be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The configuration names no plugin.
    NoName,
    /// The name could leave the directories of `CNI_PATH`.
    InvalidName(String),
    /// `CNI_PATH` names no directory.
    NoPaths,
    /// No directory holds a regular file of that name.
    NotFound {
        /// The plugin's name.
        name: String,
        /// The directories searched.
        dirs: Vec<PathBuf>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("no plugin name provided"),
            Self::InvalidName(name) => write!(f, "invalid plugin name: {}", name.escape_debug()),
            Self::NoPaths => f.write_str("no paths provided"),
            Self::NotFound { name, dirs } => {
                let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
                write!(
                    f,
                    "failed to find plugin {name:?} in path [{}]",
                    dirs.join(" ")
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl Explain for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoName | Self::InvalidName(_) => ErrorCode::INVALID_NETWORK_CONFIG,
            Self::NoPaths | Self::NotFound { .. } => ErrorCode::INTERNAL,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoName | Self::InvalidName(_) => "name the plugin by its file name".to_owned(),
            Self::NoPaths => "set CNI_PATH to the directories that hold the plugins".to_owned(),
            Self::NotFound { name, .. } => {
                format!("install `{name}` into a directory of CNI_PATH")
            }
        })
    }
}
