//! Numbers that nobody can foresee, out of the seeds that std takes from the kernel for its tables.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A random number.
pub(crate) fn number() -> u32 {
    let hash = RandomState::new().build_hasher().finish();
    let [a, b, c, d, ..] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
