//! Chains and rules as they were found.

/// A chain as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundChain {
    /// Its name.
    pub name: String,
    /// How many rules it has, and how many lead there.
    pub uses: u32,
    /// Its comment.
    pub comment: String,
}

/// A rule as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRule {
    /// The chain it is in.
    pub chain: String,
    /// What it is deleted by.
    pub handle: u64,
    /// Its comment.
    pub comment: String,
    /// The chain it jumps to.
    pub target: Option<String>,
}
