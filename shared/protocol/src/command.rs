//! The verbs of the protocol, and one of our own.

/// A verb of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container to a network.
    Add,
    /// Detach a container from a network.
    Del,
    /// Compare an attachment with what ADD promised.
    Check,
    /// Remove everything without a valid attachment.
    Gc,
    /// Succeed where the plugin could serve an ADD.
    Status,
    /// List the spec versions that the plugin speaks.
    Version,
    /// Put back the packet filter's state of an attachment where others removed it. This verb is ours and not the
    /// spec's: `linkspan restore` calls it with the input of CHECK. Plugins of other suites answer that they do not
    /// know it.
    Restore,
}

impl Command {
    /// Every verb.
    pub const ALL: [Self; 7] = [
        Self::Add,
        Self::Del,
        Self::Check,
        Self::Gc,
        Self::Status,
        Self::Version,
        Self::Restore,
    ];

    /// The verb spelled `text`; the match is exact.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == text)
    }

    /// The value of `CNI_COMMAND`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Restore => "LINKSPAN_RESTORE",
        }
    }
}
