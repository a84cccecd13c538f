//! What a scenario is.

use std::fmt;

use crate::process::{Cost, Mode};

/// Whose work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// This suite.
    Ours,
    /// The suite that it is compared with.
    Theirs,
    /// One process that is there already and does nothing but what the kernel has to be told.
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

/// Something that is done again and again.
pub(crate) trait Scenario {
    /// What is done, such as "pod chain"; the same whoever does it.
    fn case(&self) -> String;

    /// Who does it.
    fn who(&self) -> Who;

    /// The case that its growth is measured by, if any.
    fn base(&self) -> Option<String> {
        None
    }

    /// Everything that comes before the first round.
    fn prepare(&mut self) {}

    /// One round: what each operation cost.
    fn round(&mut self, mode: &Mode) -> Vec<(&'static str, Cost)>;
}
