//! The daemon's socket, from systemd or its own.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::activation;

/// The socket from systemd, or a new one at `path`. The flag tells whether it is our own, to be removed at the end.
pub(crate) fn listener(path: &Path) -> io::Result<(UnixListener, bool)> {
    let (listener, is_ours) = match activation::handed()? {
        Some(handed) => (UnixListener::from(handed), false),
        None => (bind(path)?, true),
    };
    listener.set_nonblocking(true)?;
    Ok((listener, is_ours))
}

/// Binds the socket. A socket file without a listener was left by a killed daemon.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let bound = match UnixListener::bind(path) {
        Err(err) if err.kind() == ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let listener = bound.map_err(|err| {
        io::Error::new(
            err.kind(),
            format!("listen unix {}: bind: {err}", path.display()),
        )
    })?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn is_stale(path: &Path) -> bool {
    let refused = |err: io::Error| err.kind() == ErrorKind::ConnectionRefused;
    UnixStream::connect(path).is_err_and(refused)
}
