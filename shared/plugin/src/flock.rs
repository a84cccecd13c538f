//! flock(2) with a deadline.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Locks `file` exclusively; the lock ends with the file, or with the process. `None` when time is up.
///
/// The kernel queues the waiters in flock(2), but takes no deadline. So where the lock is not free at once, a second
/// thread only waits there. It touches no namespace, and when time is up it ends with the process.
#[expect(
    clippy::disallowed_methods,
    reason = "the waiting thread makes one system call and touches no namespace"
)]
pub fn lock(file: File, patience: Duration) -> io::Result<Option<File>> {
    match file.try_lock() {
        Ok(()) => return Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(err)) => return Err(err),
    }
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        // The send fails when time was up. The file is then dropped here, and the lock with it.
        drop(done.send(locked));
    });
    outcome.recv_timeout(patience).ok().transpose()
}
