//! Scenarios: operations to measure.

use std::fmt;

use crate::process::{Cost, Mode};

/// The suite whose work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// This suite.
    Ours,
    /// The suite for comparison.
    Theirs,
    /// One process that is running already and sends only the necessary requests.
    Floor,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "linkspan",
            Self::Theirs => "compared",
            Self::Floor => "floor",
        })
    }
}

/// Repeated operations.
pub(crate) trait Scenario {
    /// The name of the work, such as "pod chain"; the same for every suite.
    fn case(&self) -> String;

    /// The suite that does it.
    fn who(&self) -> Who;

    /// The case that its growth is compared with, if any.
    fn base(&self) -> Option<String> {
        None
    }

    /// The work before the first round.
    fn prepare(&mut self) {}

    /// One round, with the cost of each operation.
    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)>;
}
