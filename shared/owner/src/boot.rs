//! Boots of the machine.

use std::fmt;
use std::fs;

/// A boot of the machine. No process and no namespace outlives a boot, and comparing boots needs no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// The current boot.
    pub fn current() -> Option<Self> {
        let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Self::parse(told.trim())
    }

    /// Reads 32 hexadecimal digits, with hyphens anywhere.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.replace('-', "");
        let number = u128::from_str_radix(&digits, 16).ok()?;
        (digits.len() == 32).then(|| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Returns whether `then` is an earlier boot than `now`.
pub fn is_past(then: Option<BootId>, now: Option<BootId>) -> bool {
    then.zip(now).is_some_and(|(then, now)| then != now)
}
