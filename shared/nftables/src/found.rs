//! Chains and rules found in the kernel.

/// A chain found in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundChain {
    /// Its name.
    pub name: String,
    /// The number of its rules plus the number of jumps to it.
    pub uses: u32,
    /// Its comment.
    pub comment: String,
}

/// A rule found in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRule {
    /// Its chain.
    pub chain: String,
    /// The number for its deletion.
    pub handle: u64,
    /// Its comment.
    pub comment: String,
    /// The target chain of its jump.
    pub target: Option<String>,
}
