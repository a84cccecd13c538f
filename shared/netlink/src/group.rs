//! Deletion of many links in one request. After each request the kernel waits for all readers of a link.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::errno::Errno;

use crate::error::Error;
use crate::link::{Link, message};
use crate::request::Attempt;
use crate::rtnl::Rtnl;

impl Rtnl {
    /// Deletes the links that `condemned` picks, and returns their number. Moves them into an unused group, then
    /// deletes the group. Ignores links that are gone already.
    pub fn delete_links(&self, condemned: impl Fn(&Link) -> bool) -> Result<usize, Error> {
        let links = self.links()?;
        let taken: HashSet<u32> = links.iter().map(|link| link.group).collect();
        let condemned: Vec<_> = links.iter().filter(|link| condemned(link)).collect();
        if let [link] = condemned[..] {
            link.delete()?;
            return Ok(1);
        }
        let group = free_group(&taken);
        let mut found = 0;
        for link in condemned {
            match link.set_group(group) {
                Err(err) if err.is(Errno::ENODEV) => {}
                set => {
                    set?;
                    found += 1;
                }
            }
        }
        if found == 0 {
            return Ok(0);
        }
        let message = message(0, vec![LinkAttribute::Group(group)]);
        let attempt = Attempt("delete the links of group", group);
        match self.change(attempt, 0, RouteNetlinkMessage::DelLink(message)) {
            Err(err) if !err.is(Errno::ENODEV) => Err(err),
            _ => Ok(found),
        }
    }
}

impl Link {
    /// Moves the link into a group.
    pub fn set_group(&self, group: u32) -> Result<(), Error> {
        let message = message(self.index, vec![LinkAttribute::Group(group)]);
        let attempt = Attempt("set the group of", &self.name);
        self.rtnl
            .change(attempt, 0, RouteNetlinkMessage::SetLink(message))
    }
}

/// A random unused group, so that concurrent collections do not share one.
fn free_group(taken: &HashSet<u32>) -> u32 {
    let random = RandomState::new().hash_one(0) >> 33;
    let start = u32::try_from(random).unwrap_or_default().max(1);
    let mut candidates = (start..=u32::MAX).filter(|group| !taken.contains(group));
    candidates.next().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_nobodys_yet() {
        let taken: HashSet<u32> = (0..100).collect();
        for _ in 0..100 {
            assert!(!taken.contains(&free_group(&taken)));
        }
        assert_ne!(free_group(&taken), free_group(&taken));
    }
}
