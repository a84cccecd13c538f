//! Time since the boot, the time of suspension included: a lease runs out while the machine sleeps, too.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};

/// A time of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Now, in milliseconds.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self::default_of(now.unwrap_or_default())
    }

    fn default_of(since: Duration) -> Self {
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This moment and `later`.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(Self::default_of(later).0))
    }

    /// How long it is until this moment; nothing where it has passed.
    pub(crate) fn left(self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(Self::now().0))
    }

    /// Whether it has passed.
    pub(crate) fn is_past(self) -> bool {
        self <= Self::now()
    }

    /// As tokio's timers count.
    pub(crate) fn instant(self) -> Instant {
        // Some ten years, where it is never.
        Instant::now() + self.left().min(Duration::from_secs(10 * 365 * 86_400))
    }
}

/// Waits until then.
pub(crate) async fn wait(until: Instant) {
    sleep_until(until).await;
}
