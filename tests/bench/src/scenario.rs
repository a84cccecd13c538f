//! What a scenario is.

use std::time::{Duration, Instant};

/// Something that is done again and again.
pub(crate) trait Scenario {
    /// Its name, such as "linkspan host-local /16 99 %".
    fn name(&self) -> String;

    /// The name of the scenario that it is compared with; its own where it is the measure.
    fn base(&self) -> String;

    /// Everything that comes before the first round.
    fn prepare(&mut self);

    /// One round: what each operation took.
    fn round(&mut self) -> Vec<(&'static str, Duration)>;
}

/// Takes the time of an operation.
pub(crate) fn timed(operation: impl FnOnce()) -> Duration {
    let start = Instant::now();
    operation();
    start.elapsed()
}
