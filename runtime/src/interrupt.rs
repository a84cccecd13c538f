//! Signals that ask this process to end. They are recorded, so running work is stopped and undone first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkspan_protocol::error::{ErrorCode, Failure};
use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::{emulate_default_handler, pipe};

use crate::Result;

/// The signals that ask a process to end.
pub const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The recorded requests to end.
#[derive(Debug)]
pub struct Interrupt {
    /// A byte for each request.
    told: UnixStream,
    /// The last signal; 0 before the first.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Records requests to end from now on, instead of ending the process.
    pub fn expect() -> Result<Self> {
        let prepare = || -> io::Result<Self> {
            let (told, teller) = UnixStream::pair()?;
            let signal = Arc::new(AtomicUsize::new(0));
            for number in ENDING.into_iter().filter(|number| !is_ignored(*number)) {
                let word = usize::try_from(number).map_err(io::Error::other)?;
                flag::register_usize(number, Arc::clone(&signal), word)?;
                pipe::register(number, teller.try_clone()?)?;
            }
            Ok(Self { told, signal })
        };
        prepare().map_err(crate::io("handle signals"))
    }

    /// Fails after a request.
    pub fn check(&self) -> Result<()> {
        let Some(signal) = self.signal() else {
            return Ok(());
        };
        let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
        let told = format!("interrupted by {name}");
        Err(Failure::new(ErrorCode::INTERNAL, told))
    }

    /// Ends this process by the recorded signal, if any.
    pub fn follow(&self) {
        if let Some(signal) = self.signal() {
            // A signal that cannot be raised leaves the process with its exit status.
            drop(emulate_default_handler(signal));
        }
    }

    fn signal(&self) -> Option<i32> {
        let signal = self.signal.load(Ordering::SeqCst);
        i32::try_from(signal).ok().filter(|signal| *signal != 0)
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}

/// Whether the caller of this process set the signal to be ignored, as `nohup` does, and as shells do for background
/// jobs. Such a signal stays ignored, also by children.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
