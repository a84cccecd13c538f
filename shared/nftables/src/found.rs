//! Chains, rules and sets as they were found.

use crate::datum::Datum;
use crate::encode;
use crate::ruleset::Set;

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

/// A set or map as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSet {
    /// Its name.
    pub name: String,
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    pub(crate) value_type: u32,
}

impl FoundSet {
    /// Whether it is `set`, by name, flags and types.
    pub fn is(&self, set: &Set) -> bool {
        self.name == set.name
            && self.flags == encode::flags(set).bits()
            && self.has_key(set.key)
            && self.has_value(set.value)
    }

    /// Whether its key has these types.
    pub fn has_key(&self, key: &[Datum]) -> bool {
        self.key_type == encode::type_of(key)
    }

    /// Whether its values have these types; none for a set.
    pub fn has_value(&self, value: &[Datum]) -> bool {
        self.value_type == encode::type_of(value)
    }
}
