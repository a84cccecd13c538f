//! Time since the boot, including suspension: leases also run out while the machine sleeps.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};

/// Milliseconds since the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// The current time.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self::default_of(now.unwrap_or_default())
    }

    fn default_of(since: Duration) -> Self {
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time `later` after this moment.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(Self::default_of(later).0))
    }

    /// The time until this moment; zero if it has passed.
    pub(crate) fn left(self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(Self::now().0))
    }

    /// Returns whether the moment has passed.
    pub(crate) fn is_past(self) -> bool {
        self <= Self::now()
    }

    /// The moment as tokio's time.
    pub(crate) fn instant(self) -> Instant {
        // Capped at ten years, for leases without an end.
        Instant::now() + self.left().min(Duration::from_secs(10 * 365 * 86_400))
    }
}

/// Waits until `until`.
pub(crate) async fn wait(until: Instant) {
    sleep_until(until).await;
}
