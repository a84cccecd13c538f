//! The owner of a thing on the host, as a line beside the thing that names the attachment.
//!
//! The line is `NETWORK/CONTAINER/INTERFACE`, readable for people. None of the three parts can contain a slash. A part
//! that is too long is cut and ends in a digest, so every verb computes the same line.

use std::collections::HashSet;
use std::fmt;

use linkspan_protocol::ident::{AttachmentId, NetworkName};

use crate::hash;

/// Maximum bytes of the parts. With two slashes and an interface's 15 bytes, a line has 128, the most that nft shows.
const NETWORK_MAX: usize = 40;
const CONTAINER_MAX: usize = 71;

/// Digits of the digest at the end of a cut part.
const DIGEST: usize = 16;

/// The attachment of a network.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The network.
    pub network: &'a NetworkName,
    /// The attachment.
    pub attachment: &'a AttachmentId,
}

impl Subject<'_> {
    /// The attachment as an owner of things.
    pub fn owner(self) -> Owner {
        Owner::of(self.network, self.attachment)
    }
}

/// The attachment that owns a thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    network: String,
    container: String,
    ifname: String,
}

impl Owner {
    /// The attachment as an owner.
    pub fn of(network: &NetworkName, attachment: &AttachmentId) -> Self {
        Self {
            network: fit(network.as_str(), NETWORK_MAX),
            container: fit(attachment.container_id.as_str(), CONTAINER_MAX),
            ifname: attachment.ifname.as_str().to_owned(),
        }
    }

    /// Parses a line; `None` where the line is not one of ours.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('/');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let owner = Self {
            network: part()?.to_owned(),
            container: part()?.to_owned(),
            ifname: part()?.to_owned(),
        };
        part().is_none().then_some(owner)
    }

    /// Returns whether the owner is of `network`.
    pub fn is_of(&self, network: &NetworkName) -> bool {
        self.network == fit(network.as_str(), NETWORK_MAX)
    }

    /// The line.
    pub fn line(&self) -> String {
        format!("{}/{}/{}", self.network, self.container, self.ifname)
    }

    /// The link group of a pair without a tag yet: two bytes for the network, two for the attachment. The kernel takes
    /// a group with the creation of a link, but no alias (`rtnl_create_link`).
    pub fn group(&self) -> u32 {
        u32::from(network_group(&self.network)) << 16 | u32::from(short(&self.line()))
    }

    /// The link group of the network's host ends that are not on a bridge. It is larger than the groups people set.
    pub fn network_group(&self) -> u32 {
        number(&self.network)
    }

    /// An even number for things in the container that have no room for the line, such as rules. People give no such
    /// group to links.
    pub fn number(&self) -> u32 {
        // `ip rule` shows a higher one as negative.
        (number(&self.line()) % (1 << 31)).max(1 << 16) & !1
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The container's id.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The interface's name.
    pub fn ifname(&self) -> &str {
        &self.ifname
    }
}

/// The digest of a text, as a link group outside the range that people use.
fn number(text: &str) -> u32 {
    const OF_PEOPLE: u32 = 1 << 16;
    let number = hash::number(text);
    // The highest number means "unset" to the kernel.
    number.clamp(OF_PEOPLE, u32::MAX - 1)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network,
            container,
            ifname,
        } = self;
        write!(
            f,
            "container {container}, interface {ifname}, network {network}"
        )
    }
}

/// The owners that GC forgets: attachments of the network that are not valid.
#[derive(Debug)]
pub struct Stale {
    network: NetworkName,
    name: String,
    valid: HashSet<Owner>,
}

impl Stale {
    /// Every attachment of the network except `valid`.
    pub fn of(network: &NetworkName, valid: &HashSet<AttachmentId>) -> Self {
        let valid = valid.iter();
        Self {
            network: network.clone(),
            name: fit(network.as_str(), NETWORK_MAX),
            valid: valid.map(|id| Owner::of(network, id)).collect(),
        }
    }

    /// The network's name, as it stands in an owner's line.
    pub fn network(&self) -> &str {
        &self.name
    }

    /// Returns whether the network has no valid attachment.
    pub fn is_everybody(&self) -> bool {
        self.valid.is_empty()
    }

    /// Returns whether the link group is a stale attachment's.
    pub fn includes_group(&self, group: u32) -> bool {
        let network = network_group(&fit(self.network.as_str(), NETWORK_MAX));
        group >> 16 == u32::from(network) && self.valid.iter().all(|owner| owner.group() != group)
    }

    /// Returns whether `owner` is stale.
    pub fn includes(&self, owner: &Owner) -> bool {
        owner.is_of(&self.network) && !self.valid.contains(owner)
    }
}

/// Never 0, so our groups never equal the small numbers that people set.
fn network_group(network: &str) -> u16 {
    short(network).max(1)
}

/// Two bytes of a digest.
fn short(text: &str) -> u16 {
    let digest = hash::hex(text);
    let digits = digest.get(..4).unwrap_or_default();
    u16::from_str_radix(digits, 16).unwrap_or_default()
}

fn fit(name: &str, max: usize) -> String {
    // Names are ASCII, so every index is a character boundary; `get` saves the reader a proof.
    match name.get(..max - DIGEST - 1) {
        Some(start) if name.len() > max => {
            let digest = hash::hex(name);
            format!("{start}~{}", digest.get(..DIGEST).unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{ContainerId, IfName};

    fn owner(network: &str, container: &str) -> Owner {
        let attachment = AttachmentId {
            container_id: ContainerId::parse(container).unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        Owner::of(&NetworkName::parse(network).unwrap(), &attachment)
    }

    #[test]
    fn the_line_names_the_attachment_and_is_read_back() {
        let id = "0123456789abcdef".repeat(4);
        let line = owner("net", &id).line();
        assert_eq!(line, format!("net/{id}/eth0"));
        assert_eq!(Owner::parse(&line), Some(owner("net", &id)));
        for foreign in ["", "net", "net/id", "net//eth0", "a/b/c/d"] {
            assert_eq!(Owner::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let (a, b) = ("a".repeat(300), format!("{}b", "a".repeat(299)));
        for (one, other) in [
            (owner(&a, "c"), owner(&b, "c")),
            (owner("n", &a), owner("n", &b)),
        ] {
            assert_ne!(one.line(), other.line());
            assert!(one.line().len() <= 128, "{}", one.line());
            assert_eq!(Owner::parse(&one.line()), Some(one));
        }
        assert!(owner(&a, "c").is_of(&NetworkName::parse(&a).unwrap()));
    }

    #[test]
    fn stale_are_those_of_the_network_who_are_not_valid_whatever_the_length_of_names() {
        let long = "n".repeat(300);
        let valid = owner(&long, &"c".repeat(300));
        let stale = Stale {
            network: NetworkName::parse(&long).unwrap(),
            name: fit(&long, NETWORK_MAX),
            valid: HashSet::from([valid.clone()]),
        };
        assert!(!stale.includes(&valid));
        assert!(stale.includes(&owner(&long, &"c".repeat(301))));
        assert!(!stale.includes(&owner(&"n".repeat(301), "c")));
    }
}
