//! Removal that runs every step, whatever fails before it.

use linkspan_protocol::error::Failure;

use crate::{Result, telemetry};

/// Collects failures: the first one is reported, the others are noted on it.
#[derive(Debug, Default)]
pub struct Teardown {
    first: Option<Failure>,
}

impl Teardown {
    /// Runs a step and remembers its failure.
    pub fn run(&mut self, what: &str, step: impl FnOnce() -> Result<()>) {
        let traced = telemetry::step(what);
        let done = step();
        traced.note(&done);
        match (done, &mut self.first) {
            (Ok(()), _) => {}
            (Err(failure), None) => self.first = Some(failure),
            (Err(failure), Some(first)) => first.note(format!("{what}: {failure}")),
        }
    }

    /// Whether nothing has failed so far.
    pub fn is_clean(&self) -> bool {
        self.first.is_none()
    }

    /// The first failure, with the others noted on it.
    pub fn finish(self) -> Result<()> {
        self.first.map_or(Ok(()), Err)
    }
}
