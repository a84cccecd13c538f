//! The link at the other end of a pair, or below a child: whether its namespace lives, and its properties. A pair
//! disappears some time after the last user of its namespace has left.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::errno::Errno;

use crate::error::Error;
use crate::link::{Link, message};
use crate::request::Attempt;

impl Link {
    /// Returns whether the other end is in another, living namespace. The kernel finds no dead namespace by its number
    /// (`get_net_ns_by_id`), so any reply but `EINVAL` proves life.
    pub fn peer_lives(&self) -> bool {
        let Some(number) = self.peer_netns.filter(|number| *number >= 0) else {
            return false;
        };
        match self.peer_in(vec![LinkAttribute::IfNetnsId(number)]) {
            Ok(_) => true,
            Err(err) => !err.is(Errno::EINVAL),
        }
    }

    /// Looks up the other link, in any namespace.
    pub fn peer(&self) -> Result<Option<Self>, Error> {
        if self.peer_index.is_none() {
            return Ok(None);
        }
        let namespace = self.peer_netns.map(LinkAttribute::IfNetnsId);
        self.peer_in(namespace.into_iter().collect())
    }

    fn peer_in(&self, namespace: Vec<LinkAttribute>) -> Result<Option<Self>, Error> {
        let message = message(self.peer_index.unwrap_or_default(), namespace);
        let attempt = Attempt("look up the peer of link", &self.name);
        let message = RouteNetlinkMessage::GetLink(message);
        let found = self.rtnl.get(attempt, message)?;
        Ok(found.and_then(|answer| Self::of(&self.rtnl, answer)))
    }
}
