//! Kinds of links with default settings.

use linkspan_netlink::link::{Ipvlan, IpvlanMode, IpvlanReach, Kind, Macvlan, MacvlanMode};

/// A macvlan whose siblings reach each other.
#[must_use]
pub fn macvlan() -> Kind {
    Kind::Macvlan(Macvlan {
        mode: MacvlanMode::Bridge,
        broadcast_queue: None,
    })
}

/// An ipvlan in mode `l2`.
#[must_use]
pub fn ipvlan() -> Kind {
    Kind::Ipvlan(Ipvlan {
        mode: IpvlanMode::L2,
        reach: IpvlanReach::Bridge,
    })
}
