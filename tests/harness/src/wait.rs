//! Waiting for a change by others that no event reports.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the slowest machine, whose work for other tests may come first.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks. It decides nothing: it leaves the processor to those that make the change.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks until there is something; `None` after a long time without it.
pub fn some<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + DEADLINE;
    loop {
        match look() {
            None if Instant::now() < until => thread::park_timeout(PAUSE),
            seen => return seen,
        }
    }
}

/// Looks until it is so; returns false after a long time.
pub fn so(is_so: impl Fn() -> bool) -> bool {
    some(|| is_so().then_some(())).is_some()
}
