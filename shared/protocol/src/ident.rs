//! Names that cross the protocol, valid by construction.

use std::fmt;

use crate::error::{ErrorCode, Failure};

/// The longest interface name, in bytes (`IFNAMSIZ` of the kernel less its final NUL).
const IFNAME_MAX: usize = 15;

/// First character ASCII letter or digit, the rest also `_`, `.`, `-` (spec section 2, "Parameters").
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

macro_rules! ident {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

ident! {
    /// A container's id.
    ContainerId
}
ident! {
    /// A network's name.
    NetworkName
}
ident! {
    /// An interface's name: at most 15 bytes, usable as a file name.
    IfName
}

impl ContainerId {
    /// Code 4 for a character that is not allowed, code 3 for an empty text.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Err(Failure::new(
                ErrorCode::UNKNOWN_CONTAINER,
                "missing containerID",
            ));
        }
        if !is_name(text) {
            return Err(Failure::new(
                ErrorCode::INVALID_ENVIRONMENT,
                "invalid characters in containerID",
            )
            .detail(text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl NetworkName {
    /// Code 7.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |msg| Failure::new(ErrorCode::INVALID_NETWORK_CONFIG, msg);
        if text.is_empty() {
            return Err(refuse("missing network name"));
        }
        if !is_name(text) {
            return Err(refuse("invalid characters found in network name").detail(text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl IfName {
    /// Code 4.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |msg| Failure::new(ErrorCode::INVALID_ENVIRONMENT, msg);
        if text.is_empty() {
            return Err(refuse("interface name is empty"));
        }
        if text.len() > IFNAME_MAX {
            return Err(refuse("interface name is too long")
                .detail("interface name should be less than 16 characters"));
        }
        if text == "." || text == ".." {
            return Err(refuse("interface name is . or .."));
        }
        if text
            .chars()
            .any(|c| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
        {
            return Err(refuse(
                "interface name contains / or : or whitespace characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The identity of an attachment within a network (spec section 4: container id and interface name).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentId {
    /// `CNI_CONTAINERID`
    pub container_id: ContainerId,
    /// `CNI_IFNAME`
    pub ifname: IfName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids() {
        for good in ["a", "0", "a_b.c-d", &"x".repeat(300)] {
            assert!(ContainerId::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "-a", ".a", "_a", "a b", "a/b", "a\n", "é", "..", "a\u{0}", "a:b",
        ] {
            let failure = ContainerId::parse(bad).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_ENVIRONMENT, "{bad}");
        }
        let empty = ContainerId::parse("").unwrap_err();
        assert_eq!(empty.code(), ErrorCode::UNKNOWN_CONTAINER);
    }

    #[test]
    fn interface_names() {
        for good in ["eth0", "a", "veth0123456789a", "net.1", "é"] {
            assert!(IfName::parse(good).is_ok(), "{good}");
        }
        for (bad, msg) in [
            ("", "interface name is empty"),
            ("veth0123456789ab", "interface name is too long"),
            ("éééééééé", "interface name is too long"),
            (".", "interface name is . or .."),
            ("..", "interface name is . or .."),
            (
                "a/b",
                "interface name contains / or : or whitespace characters",
            ),
            (
                "a:b",
                "interface name contains / or : or whitespace characters",
            ),
            (
                "a\u{2003}b",
                "interface name contains / or : or whitespace characters",
            ),
        ] {
            assert_eq!(IfName::parse(bad).unwrap_err().message(), msg, "{bad}");
        }
    }

    #[test]
    fn network_names_refuse_traversal() {
        for bad in ["../x", "a/b", "..", ".hidden"] {
            let failure = NetworkName::parse(bad).unwrap_err();
            assert_eq!(failure.code(), ErrorCode::INVALID_NETWORK_CONFIG, "{bad}");
        }
    }
}
