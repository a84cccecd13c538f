//! Unpredictable numbers of exchanges.

use linkspan_attach::creation;

/// A random number.
pub(crate) fn number() -> u32 {
    let [a, b, c, d, ..] = creation::random().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
