//! flock(2), waited for at most as long as agreed.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Locks `file` for us alone; the lock goes with the file, or with the process. `None` when time is up.
///
/// The kernel queues those who wait in flock(2), but takes no deadline. So where the lock is not free at once, a
/// second thread does nothing but wait there. It touches no namespace, and when time is up it ends with the process.
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
        // Nobody listens any more when time was up: the file, and with it the lock, is dropped here.
        drop(done.send(locked));
    });
    outcome.recv_timeout(patience).ok().transpose()
}
