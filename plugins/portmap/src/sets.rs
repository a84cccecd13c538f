//! The sets of published ports in our table; each has an element for each port. At DEL every element expires in the
//! kernel.

use linkspan_nftables::datum::Datum;
use linkspan_nftables::ruleset::Set;
use linkspan_protocol::family::{Family, PerFamily};

macro_rules! set {
    ($name:literal, $key:expr) => {
        &Set::of($name, &$key).expiring()
    };
    ($name:literal, $key:expr => $value:expr) => {
        &Set::of($name, &$key).to(&$value).expiring()
    };
}

use Datum::{Ipv4, Ipv6, Mark, Port, Protocol as Proto};

/// Ports on every address.
pub(crate) const PUBLISH: PerFamily<&Set> = PerFamily {
    v4: set!("publish_v4", [Proto, Port] => [Ipv4, Port]),
    v6: set!("publish_v6", [Proto, Port] => [Ipv6, Port]),
};

/// Ports on one address.
pub(crate) const PUBLISH_ADDR: PerFamily<&Set> = PerFamily {
    v4: set!("publish_addr_v4", [Ipv4, Proto, Port] => [Ipv4, Port]),
    v6: set!("publish_addr_v6", [Ipv6, Proto, Port] => [Ipv6, Port]),
};

/// Claims to a port: on every address, by one mapping, or on single addresses, shared by their mappings. So the kernel
/// itself refuses one beside the other (`EEXIST`).
///
/// A set of address ranges does not work: the kernel compares the two ends of a new range with the present ranges, and
/// misses one that lies between them (`nft_pipapo_insert`; seen on Linux 5.10 to 6.18).
pub(crate) const CLAIMS: PerFamily<&Set> = PerFamily {
    v4: set!("claims_v4", [Proto, Port] => [Mark]),
    v6: set!("claims_v6", [Proto, Port] => [Mark]),
};

/// The source for connections from the loopback address to ports on every address.
pub(crate) const LOCALHOST: PerFamily<&Set> = PerFamily {
    v4: set!("localhost_v4", [Proto, Port] => [Ipv4]),
    v6: set!("localhost_v6", [Proto, Port] => [Ipv6]),
};

/// The same, to ports on one address.
pub(crate) const LOCALHOST_ADDR: PerFamily<&Set> = PerFamily {
    v4: set!("localhost_addr_v4", [Ipv4, Proto, Port] => [Ipv4]),
    v6: set!("localhost_addr_v6", [Ipv6, Proto, Port] => [Ipv6]),
};

/// Every set of sources for connections from the loopback address.
pub(crate) const FROM_LOOPBACK: [&Set; 4] = [
    LOCALHOST.v4,
    LOCALHOST.v6,
    LOCALHOST_ADDR.v4,
    LOCALHOST_ADDR.v6,
];

/// Container and port of the host: masqueraded for the sources in [`SOURCES`], and for the host's loopback addresses.
pub(crate) const HAIRPIN: PerFamily<&Set> = PerFamily {
    v4: set!("hairpin_v4", [Ipv4, Proto, Port]),
    v6: set!("hairpin_v6", [Ipv6, Proto, Port]),
};

/// Container, and the range of sources for which it sees the host's address. One element for each container, because
/// ranges cost the kernel more than keys.
pub(crate) const SOURCES: PerFamily<&Set> = PerFamily {
    v4: &Set::of("sources_v4", &[Ipv4, Ipv4]).of_ranges().expiring(),
    v6: &Set::of("sources_v6", &[Ipv6, Ipv6]).of_ranges().expiring(),
};

/// Every set and map.
pub(crate) const SETS: &[&Set] = &[
    PUBLISH.v4,
    PUBLISH.v6,
    PUBLISH_ADDR.v4,
    PUBLISH_ADDR.v6,
    CLAIMS.v4,
    CLAIMS.v6,
    LOCALHOST.v4,
    LOCALHOST.v6,
    LOCALHOST_ADDR.v4,
    LOCALHOST_ADDR.v6,
    HAIRPIN.v4,
    HAIRPIN.v6,
    SOURCES.v4,
    SOURCES.v6,
];

/// A map that says what is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) set: &'static Set,
    /// Whether its keys begin with an address.
    pub(crate) by_addr: bool,
    pub(crate) family: Family,
}

impl Published {
    const fn of(set: &'static Set, by_addr: bool, family: Family) -> Self {
        Self {
            set,
            by_addr,
            family,
        }
    }
}

/// The maps that say what is published.
pub(crate) const PUBLISHED: [Published; 4] = [
    Published::of(PUBLISH.v4, false, Family::V4),
    Published::of(PUBLISH.v6, false, Family::V6),
    Published::of(PUBLISH_ADDR.v4, true, Family::V4),
    Published::of(PUBLISH_ADDR.v6, true, Family::V6),
];
