//! Digests in names.

use sha2::{Digest, Sha512};

/// The first 32 bits of the digest.
pub fn number(text: &str) -> u32 {
    let digits = hex(text);
    let digits = digits.get(..8).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// SHA-512 as 128 lower-case hexadecimal digits.
pub fn hex(text: &str) -> String {
    let nibbles = |byte: u8| [byte >> 4, byte & 0xf];
    Sha512::digest(text)
        .into_iter()
        .flat_map(nibbles)
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}
