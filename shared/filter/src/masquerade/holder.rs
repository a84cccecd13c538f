//! The ingress of a zone's packets, and the zone's holder. Pure.

use std::collections::BTreeSet;
use std::fmt;

use linkspan_nftables::datum::{Fields, Reader};
use linkspan_nftables::userdata::COMMENT_MAX;
use linkspan_owner::Owner;

use super::rules::{GROUPED, NAMED, Sets};

/// The host's ingress for packets of a network's containers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ingress {
    /// The link with this name: the bridge of the containers.
    Link(String),
    /// The links in the network's group: the host ends of its containers ([`Owner::network_group`]).
    Group(u32),
}

impl Ingress {
    pub(super) fn sets(&self) -> Sets {
        match self {
            Self::Link(_) => NAMED,
            Self::Group(_) => GROUPED,
        }
    }

    pub(super) fn fields(&self) -> Fields {
        match self {
            Self::Link(name) => Fields::default().ifname(name),
            Self::Group(group) => Fields::default().group(*group),
        }
    }

    pub(super) fn read(sets: Sets, key: &mut Reader<'_>) -> Option<Self> {
        if sets.sources.v4 == NAMED.sources.v4 {
            key.ifname().map(Self::Link)
        } else {
            key.group().map(Self::Group)
        }
    }
}

/// The holder of a zone, as the comment of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// One attachment. Its DEL removes the zone.
    Pod(Owner),
    /// Networks, whose GC removes the zone after the last attachment.
    Networks(BTreeSet<String>),
    /// More networks than a comment can hold. Only removing the table removes the zone.
    Everybody,
}

/// The comment for more networks than fit.
const EVERYBODY: &str = "*";

impl Holder {
    pub(super) fn of_network(network: &str) -> Self {
        Self::Networks(BTreeSet::from([network.to_owned()]))
    }

    pub(super) fn parse(comment: &str) -> Option<Self> {
        if comment == EVERYBODY {
            return Some(Self::Everybody);
        }
        if let Some(owner) = Owner::parse(comment) {
            return Some(Self::Pod(owner));
        }
        let networks: BTreeSet<_> = comment.split(',').map(str::to_owned).collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains('/');
        networks
            .iter()
            .all(is_name)
            .then_some(Self::Networks(networks))
    }

    /// Returns whether the network shares the zone.
    pub(super) fn is_shared_by(&self, network: &str) -> bool {
        match self {
            Self::Pod(_) => false,
            Self::Networks(networks) => networks.contains(network),
            Self::Everybody => true,
        }
    }

    /// Returns whether only the network holds the zone.
    pub(super) fn is_of(&self, network: &str) -> bool {
        match self {
            Self::Pod(owner) => owner.network() == network,
            Self::Networks(networks) => networks.iter().all(|name| name == network),
            Self::Everybody => false,
        }
    }

    /// The union of both holders, as networks.
    pub(super) fn and(self, other: &Self) -> Self {
        let names = |holder: &Self| match holder {
            Self::Pod(owner) => BTreeSet::from([owner.network().to_owned()]),
            Self::Networks(networks) => networks.clone(),
            Self::Everybody => BTreeSet::new(),
        };
        if self == Self::Everybody || *other == Self::Everybody {
            return Self::Everybody;
        }
        let mut all = names(&self);
        all.extend(names(other));
        let length: usize = all.iter().map(|name| name.len() + 1).sum();
        if length > COMMENT_MAX {
            return Self::Everybody;
        }
        Self::Networks(all)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(owner) => f.write_str(&owner.line()),
            Self::Networks(networks) => {
                let names: Vec<_> = networks.iter().map(String::as_str).collect();
                f.write_str(&names.join(","))
            }
            Self::Everybody => f.write_str(EVERYBODY),
        }
    }
}
