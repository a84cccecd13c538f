//! Where those of us who write to nf_tables at the same time line up: at a flock(2) on the network namespace itself, which
//! is one inode for everybody in it, needs no file, and is free again when its holder is gone.
//!
//! The queue is for speed alone. What is true of nf_tables is decided by the kernel, so whoever cannot get in, or has
//! waited long enough for somebody who does not let go, does without.

use std::fs::File;
use std::time::Duration;

use linkspan_plugin::patience;

/// What a hundred changes take at the most.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place at the head of the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    _lock: File,
}

impl Queue {
    /// Waits for it.
    pub(crate) fn join() -> Option<Self> {
        let namespace = File::open("/proc/thread-self/ns/net").ok()?;
        let lock = patience::lock(namespace, PATIENCE).ok()??;
        Some(Self { _lock: lock })
    }
}
