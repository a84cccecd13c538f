//! Tables, chains, rules, sets and elements as values.

use linkspan_protocol::family::Family;

use crate::datum::{Datum, Fields};
use crate::expr::Expr;

/// The family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFamily {
    /// IPv4 and IPv6 in one table.
    Inet,
    /// IPv4
    Ip,
    /// IPv6
    Ip6,
    /// Frames of bridges.
    Bridge,
}

impl TableFamily {
    /// Its name in `nft`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
        }
    }

    /// The family of the addresses in its packets; `None` for the families `inet` and `bridge`.
    pub fn of_addresses(self) -> Option<Family> {
        match self {
            Self::Ip => Some(Family::V4),
            Self::Ip6 => Some(Family::V6),
            Self::Inet | Self::Bridge => None,
        }
    }
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        family.pick(Self::Ip, Self::Ip6)
    }
}

/// The identity of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Family.
    pub family: TableFamily,
    /// Name.
    pub name: &'static str,
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {} {}", self.family.name(), self.name)
    }
}

/// The point on a packet's path where a base chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Incoming packets, before routing.
    Prerouting,
    /// Packets to this host.
    Input,
    /// Packets from elsewhere to elsewhere.
    Forward,
    /// Packets from this host.
    Output,
    /// Outgoing packets, after routing.
    Postrouting,
}

/// The kind of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// `filter`
    Filter,
    /// `nat`: called for the first packet of a connection.
    Nat,
}

impl ChainKind {
    /// Its name in `nft`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

/// The place of a base chain: kind, hook and priority; lower priorities come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Kind.
    pub kind: ChainKind,
    /// Hook.
    pub hook: Hook,
    /// Priority.
    pub priority: i32,
}

impl Base {
    /// The kernel's place for translation of source addresses (`NF_IP_PRI_NAT_SRC` of `linux/netfilter_ipv4.h`).
    pub const SOURCE_NAT: Self = Self {
        kind: ChainKind::Nat,
        hook: Hook::Postrouting,
        priority: 100,
    };
}

/// A chain with its rules.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Name.
    pub name: &'static str,
    /// The place of a base chain; `None` for a chain that is only a jump's target.
    pub base: Option<Base>,
    /// The comment that `nft` shows. The kernel takes it at the chain's creation (Linux 5.10).
    pub comment: &'static str,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// A rule: expressions in order.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Expressions.
    pub exprs: Vec<Expr>,
}

/// A set, or a map if it has values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Name.
    pub name: &'static str,
    /// Types of the key's fields.
    pub key: &'static [Datum],
    /// Types of the value's fields; empty for a set.
    pub value: &'static [Datum],
    /// Whether elements are ranges of keys.
    pub interval: bool,
    /// Whether elements may expire.
    pub timeout: bool,
}

impl Set {
    /// An empty set with this name and these key types.
    pub const fn of(name: &'static str, key: &'static [Datum]) -> Self {
        Self {
            name,
            key,
            value: &[],
            interval: false,
            timeout: false,
        }
    }

    /// The set as a map to values of these types.
    #[must_use]
    pub const fn to(self, value: &'static [Datum]) -> Self {
        Self { value, ..self }
    }

    /// The set with ranges of keys as elements.
    #[must_use]
    pub const fn of_ranges(self) -> Self {
        Self {
            interval: true,
            ..self
        }
    }

    /// The set with elements that may expire.
    #[must_use]
    pub const fn expiring(self) -> Self {
        Self {
            timeout: true,
            ..self
        }
    }

    /// `map NAME` or `set NAME`
    pub(crate) fn describe(&self) -> String {
        let word = if self.value.is_empty() { "set" } else { "map" };
        format!("{word} {}", self.name)
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Key; the first key of a range in a set of ranges.
    pub key: Fields,
    /// Last key of the range, in a set of ranges.
    pub key_end: Option<Fields>,
    /// Value, in a map.
    pub value: Option<Fields>,
    /// The comment that `nft` shows.
    pub comment: String,
    /// Our own bytes, which `nft` neither shows nor keeps; dropped if the kernel has no room.
    pub record: Vec<u8>,
    /// More of our own bytes; older releases ignore them.
    pub supplement: Vec<u8>,
    /// Milliseconds until expiry; 0 for never.
    pub timeout: u64,
}

impl Element {
    /// An element with this key.
    pub fn of(key: Fields) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }
}
