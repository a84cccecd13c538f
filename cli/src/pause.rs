//! `linkspan pause`: the command of a container that has nothing left to do but to wait, or to put back what somebody
//! removes.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_runtime::{Result, interrupt, io};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use signal_hook::low_level::pipe;

use crate::complain::complain;

/// Two installers that want the same name take turns no faster than this.
const QUIET: Duration = Duration::from_secs(1);
/// The time until the next attempt where one failed.
const AGAIN: Duration = Duration::from_secs(10);

/// Changes of a directory's names or files, and its removal.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB);
/// The end of a directory.
const ENDS: AddWatchFlags = AddWatchFlags::IN_IGNORED
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT);

/// Waits for a signal to end, and handles it: the kernel delivers no unhandled signal to a container's first process.
pub(crate) fn run() -> Result<()> {
    let asked = ends()?;
    loop {
        if ready(&[asked.as_fd()], None)?.contains(&true) {
            return Ok(());
        }
    }
}

/// The same, and calls `mend` at once and after each change in the directories.
pub(crate) fn watch(dirs: &[&Path], mut mend: impl FnMut() -> Result<()>) -> Result<()> {
    let asked = ends()?;
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
    let changes = changes.map_err(|err| io("watch directories")(err.into()))?;
    for dir in dirs {
        let attempt = format!("watch {}", dir.display());
        changes
            .add_watch(*dir, CHANGES | AddWatchFlags::IN_ONLYDIR)
            .map_err(|err| io(attempt)(err.into()))?;
    }
    loop {
        let failed = mend().err();
        if let Some(failure) = &failed {
            complain(&format!(
                "linkspan: {}\n",
                linkspan_runtime::sentence(failure)
            ));
        }
        let deadline = Instant::now() + QUIET;
        while let Some(left) = left_of(deadline) {
            if ready(&[asked.as_fd()], Some(left))?.contains(&true) {
                return Ok(());
            }
        }
        let patience = failed.map(|_| AGAIN);
        match ready(&[asked.as_fd(), changes.as_fd()], patience)?.as_slice() {
            [true, ..] => return Ok(()),
            [_, true] => drain(&changes)?,
            // An interrupted wait, or the time of the next attempt.
            _ => {}
        }
    }
}

fn left_of(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// Takes all events. Without its directory the container cannot mend anything, and is started anew.
fn drain(changes: &Inotify) -> Result<()> {
    loop {
        let events = match changes.read_events() {
            Err(Errno::EAGAIN) => return Ok(()),
            events => events.map_err(|err| io("watch directories")(err.into()))?,
        };
        if events.iter().any(|event| event.mask.intersects(ENDS)) {
            return Err(
                Failure::new(ErrorCode::IO, "a watched directory has been removed")
                    .hint("make the directory and start this again"),
            );
        }
    }
}

/// The end of a pipe that becomes readable when a signal asks this process to end.
fn ends() -> Result<UnixStream> {
    let prepare = || {
        let (asked, teller) = UnixStream::pair()?;
        for number in interrupt::ENDING {
            pipe::register(number, teller.try_clone()?)?;
        }
        Ok(asked)
    };
    prepare().map_err(io("handle signals"))
}

/// Waits until one of the descriptors is readable, and returns which ones are.
fn ready(of: &[BorrowedFd<'_>], patience: Option<Duration>) -> Result<Vec<bool>> {
    let mut watched: Vec<PollFd<'_>> = of
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let patience = patience.and_then(|patience| PollTimeout::try_from(patience).ok());
    match poll(&mut watched, patience.unwrap_or(PollTimeout::NONE)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(err) => return Err(io("wait")(err.into())),
    }
    Ok(watched.iter().map(|fd| fd.any() == Some(true)).collect())
}
