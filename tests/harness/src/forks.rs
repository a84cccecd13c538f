//! Children, and their state before they execute their program.
//!
//! Until then a child has a copy of each descriptor of this process, whichever thread starts it. So a file that
//! another thread has written and closed may still be open for writing, and executing it fails with `ETXTBSY`.
//!
//! A child also inherits ignored signals, for example from nohup(1) or a script's `&`. Then a test would wait for ever
//! for a signal's effect.
#![expect(
    unsafe_code,
    reason = "what a child does before it executes its program"
)]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, PoisonError, RwLock};

use nix::sys::signal::{SigHandler, Signal, signal};

static STARTING: RwLock<()> = RwLock::new(());

/// The signals that tests send.
const SENT: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Whether this process ignores one of them.
static IGNORED: LazyLock<bool> = LazyLock::new(|| {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let mask = mask.unwrap_or_default();
    SENT.iter().any(|sent| mask >> (*sent as i32 - 1) & 1 == 1)
});

/// Starts a child that ignores none of the tests' signals. Tests start all their children here.
pub fn start(command: &mut Command) -> io::Result<Child> {
    if *IGNORED {
        // SAFETY: signal(2) may be called between fork(2) and execve(2), and it is the only call.
        unsafe { command.pre_exec(heed) };
    }
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

fn heed() -> io::Result<()> {
    for sent in SENT {
        // SAFETY: no handler is set, only the default.
        unsafe { signal(sent, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Runs a child without input to its end. Returns its output.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

/// Writes a file that will be executed. No child is started meanwhile, so none gets a copy of the file's descriptor.
pub fn none<T>(write: impl FnOnce() -> T) -> T {
    let _none = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    write()
}
