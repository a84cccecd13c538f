//! Life of the namespace behind a veth. A pair disappears some time after the last user of its namespace has left.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::errno::Errno;

use crate::link::{Link, message};
use crate::request::Attempt;

impl Link {
    /// Returns whether the other end is in another, living namespace. The kernel finds no dead namespace by its number
    /// (`get_net_ns_by_id`), so any reply but `EINVAL` proves life.
    pub fn peer_lives(&self) -> bool {
        let Some(number) = self.peer_netns.filter(|number| *number >= 0) else {
            return false;
        };
        let index = self.peer_index.unwrap_or_default();
        let message = message(index, vec![LinkAttribute::IfNetnsId(number)]);
        let attempt = Attempt("look up the peer of link", &self.name);
        match self
            .rtnl
            .get(attempt, RouteNetlinkMessage::GetLink(message))
        {
            Ok(_) => true,
            Err(err) => !err.is(Errno::EINVAL),
        }
    }
}
