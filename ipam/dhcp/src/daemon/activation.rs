//! Sockets from systemd (`sd_listen_fds(3)`).
#![expect(
    unsafe_code,
    reason = "a descriptor opened by another process is only a number"
)]

use std::io::{self, ErrorKind};
use std::os::fd::{FromRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use nix::unistd::getpid;

/// The first descriptor from systemd.
const FIRST: i32 = 3;

/// The socket from systemd; `None` if there is none.
pub(crate) fn handed() -> io::Result<Option<OwnedFd>> {
    let refuse = |text: String| Err(io::Error::new(ErrorKind::InvalidInput, text));
    if variable("LISTEN_PID") != Some(getpid().as_raw()) {
        return Ok(None);
    }
    match variable("LISTEN_FDS") {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(count) => {
            return refuse(format!(
                "Too many ({count}) FDs passed through socket activation"
            ));
        }
    }
    let is_socket = getsockname::<SockaddrStorage>(FIRST)
        .is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
    if !is_socket {
        return refuse("LISTEN_FDS=1 but no FD found".to_owned());
    }
    // SAFETY: systemd opened the descriptor for this process alone, and no other code here uses it.
    let socket = unsafe { OwnedFd::from_raw_fd(FIRST) };
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
    nix::fcntl::fcntl(&socket, flags)?;
    debug_assert_eq!(FIRST, libc::STDERR_FILENO + 1);
    Ok(Some(socket))
}

#[expect(
    clippy::disallowed_methods,
    reason = "systemd speaks to the daemon through its environment"
)]
fn variable(name: &str) -> Option<i32> {
    std::env::var(name).ok()?.parse().ok()
}
