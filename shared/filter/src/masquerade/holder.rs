//! Where a zone's packets come in, and who needs it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use linkspan_nftables::datum::{Fields, Reader};
use linkspan_nftables::userdata::COMMENT_MAX;
use linkspan_owner::Owner;

use super::rules::{GROUPED, NAMED, Sets};

/// Where packets of a network's containers come into the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ingress {
    /// The link of this name: the bridge that the containers are ports of.
    Link(String),
    /// The links of the network's group: the host ends of its containers ([`Owner::network_group`]).
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

/// Who needs a zone. It is the comment of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// One attachment, whose DEL removes it.
    Pod(Owner),
    /// These networks, whose GC removes it when nobody is attached any more.
    Networks(BTreeSet<String>),
    /// More networks than a comment can tell: only removing the table ends it.
    Everybody,
}

/// The comment of a zone of more networks than fit.
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

    /// Whether the network shares it.
    pub(super) fn is_shared_by(&self, network: &str) -> bool {
        match self {
            Self::Pod(_) => false,
            Self::Networks(networks) => networks.contains(network),
            Self::Everybody => true,
        }
    }

    /// Whether nobody but the network has a part in it.
    pub(super) fn is_of(&self, network: &str) -> bool {
        match self {
            Self::Pod(owner) => owner.network() == network,
            Self::Networks(networks) => networks.iter().all(|name| name == network),
            Self::Everybody => false,
        }
    }

    /// Both, as networks.
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
