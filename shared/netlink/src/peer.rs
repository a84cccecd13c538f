//! Whether the namespace of a veth's other end lives. A pair goes some time after the last user of a namespace has left it.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::errno::Errno;

use crate::link::{Link, message};
use crate::request::Attempt;

impl Link {
    /// Whether the other end is in another namespace, and that one lives. The kernel finds no dead namespace by its number
    /// (`get_net_ns_by_id`), so an answer of any other kind is a proof.
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
