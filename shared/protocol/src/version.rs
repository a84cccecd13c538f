//! Versions of the spec.

use std::fmt;

/// A version of the spec that this suite speaks, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecVersion {
    /// 0.1.0
    V0_1_0,
    /// 0.2.0
    V0_2_0,
    /// 0.3.0
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0
    V0_4_0,
    /// 1.0.0
    V1_0_0,
    /// 1.1.0
    V1_1_0,
}

impl SpecVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 7] = [
        Self::V0_1_0,
        Self::V0_2_0,
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The newest version, which the result type inside the house follows.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The version with exactly this text; the protocol compares text, not numbers. Empty means 0.1.0.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::V0_1_0);
        }
        Self::ALL.into_iter().find(|v| v.as_str() == text)
    }

    /// The text in `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Major, minor and micro number of any version text, to order versions that this suite does not know.
pub type Numbers = (i64, i64, i64);

/// Parses version numbers as libcni does: empty is 0.1.0, missing parts are 0.
pub fn numbers(text: &str) -> Result<Numbers, String> {
    if text.is_empty() {
        return Ok((0, 1, 0));
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 3 {
        return Err(format!("invalid version \"{text}\": too many parts"));
    }
    let part = |at: usize, what: &str| match parts.get(at) {
        None => Ok(0),
        Some(part) => part
            .parse()
            .map_err(|err| format!("failed to convert {what} version part \"{part}\": {err}")),
    };
    Ok((part(0, "major")?, part(1, "minor")?, part(2, "micro")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_versions() {
        for bad in ["asdfasdf", "asdf.", ".asdfas", "0.", "..", "1.2.3.4.5"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
        assert_eq!(numbers("1.1"), Ok((1, 1, 0)));
        assert_eq!(numbers(""), Ok((0, 1, 0)));
        assert!(SpecVersion::parse("1.1").is_none());
    }
}
