//! The names of the ifbs.

use linkspan_owner::hash;
use linkspan_protocol::ident::{AttachmentId, NetworkName};

/// The prefix of every name, the Go plugin's too.
pub(crate) const PREFIX: &str = "bwp";
const DIGITS: usize = 12;

/// The ifbs of one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// For packets that come in by the shaped link. The Go plugin's name, which does not tell the interface.
    pub(crate) first: String,
    /// The same for a second interface of the container.
    pub(crate) second: String,
    /// For packets that leave by the shaped link, if only some of them are shaped.
    pub(crate) leaving: String,
}

impl Names {
    pub(crate) fn of(network: &NetworkName, attachment: &AttachmentId) -> Self {
        let (container, ifname) = (&attachment.container_id, &attachment.ifname);
        let name = |more: &str| {
            let digest = hash::hex(&format!("{network}{container}{more}"));
            format!("{PREFIX}{}", digest.get(..DIGITS).unwrap_or_default())
        };
        Self {
            first: name(""),
            second: name(&format!("/{ifname}")),
            leaving: name(&format!("/{ifname}/leaving")),
        }
    }

    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.first, &self.second, &self.leaving]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{ContainerId, IfName};

    #[test]
    fn the_first_name_is_the_go_plugins() {
        for (network, expected) in [
            ("cni-plugin-bandwidth-test", "bwpa8eda89404b7"),
            ("mynet", "bwp1b29d9511ed2"),
        ] {
            let attachment = AttachmentId {
                container_id: ContainerId::parse("dummy").unwrap(),
                ifname: IfName::parse("eth0").unwrap(),
            };
            let names = Names::of(&NetworkName::parse(network).unwrap(), &attachment);
            assert_eq!(names.first, expected);
            let [first, second, leaving] = names.all();
            assert!(second.len() == 15 && first != second && second != leaving);
        }
    }
}
