//! Kinds of links with the settings that they have where none are asked for.

use linkspan_netlink::link::{Ipvlan, IpvlanMode, IpvlanReach, Kind, Macvlan, MacvlanMode};

/// A macvlan whose siblings reach each other.
#[must_use]
pub fn macvlan() -> Kind {
    Kind::Macvlan(Macvlan {
        mode: MacvlanMode::Bridge,
        broadcast_queue: None,
    })
}

/// An ipvlan that hands on frames.
#[must_use]
pub fn ipvlan() -> Kind {
    Kind::Ipvlan(Ipvlan {
        mode: IpvlanMode::L2,
        reach: IpvlanReach::Bridge,
    })
}
