//! Children, and what they hold before they execute their program.
//!
//! A child has a copy of each descriptor of this process until then, whatever thread starts it. So a file that another
//! thread has written and closed may still be open for writing, and executing it is `ETXTBSY`.

use std::io;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

static STARTING: RwLock<()> = RwLock::new(());

/// Starts a child. All of a test's children are started here.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a child without input to its end; what it says.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

/// Writes a file that is to be executed: no child is started meanwhile, so that none gets a copy of its descriptor.
pub fn none<T>(write: impl FnOnce() -> T) -> T {
    let _none = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    write()
}
