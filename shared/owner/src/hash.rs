//! Digests in names.

use sha2::{Digest, Sha512};

/// SHA-512 as 128 lower-case hexadecimal digits.
pub fn hex(text: &str) -> String {
    let nibbles = |byte: u8| [byte >> 4, byte & 0xf];
    Sha512::digest(text)
        .into_iter()
        .flat_map(nibbles)
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}
