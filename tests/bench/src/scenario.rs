//! Scenarios: operations to measure.

use std::fmt;

use crate::process::{Cost, Mode};

/// The suite whose work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// This suite.
    Ours,
    /// The suite for comparison, as it is without a choice of backend.
    Theirs,
    /// The same suite with its backend of nf_tables.
    Nftables,
    /// Podman's program for networks, which does the work of a chain in one process.
    Netavark,
    /// Only the necessary requests: from one process that is running already, or, with runtimes at once, from as many
    /// processes as ours.
    Floor,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "linkspan",
            Self::Theirs => "compared",
            Self::Nftables => "nftables",
            Self::Netavark => "netavark",
            Self::Floor => "floor",
        })
    }
}

impl Who {
    /// Whether it is compared with us.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Theirs | Self::Nftables | Self::Netavark)
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

    /// Whether its pods can live on, with links of their own.
    fn lives(&self) -> bool {
        false
    }

    /// Attaches the pod of this number, which lives until [`Scenario::detach`].
    fn attach(&mut self, _number: u16) {}

    /// Detaches that pod.
    fn detach(&mut self, _number: u16) -> Cost {
        Cost::default()
    }
}
