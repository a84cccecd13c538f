//! The complete routes of an interface, as the kernel keeps them. ADD moves them to other tables, each with its undo,
//! and DEL puts them back.

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link};
use linkspan_netlink::route::{LOCAL, RouteSpec};
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Teardown, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::{Side, kernel};

/// Protocol of the routes that sbr makes anew. DEL knows them by it.
pub const SBR: u8 = 76;
/// The same for route-override.
pub const ROUTE_OVERRIDE: u8 = 77;
/// See [`SBR`].
pub const HOST_REACH: u8 = 78;

/// The routes by one link of a container, and the changes to them.
#[derive(Debug, Clone, Copy)]
pub struct Routes<'a> {
    /// The container.
    pub side: &'a Side,
    /// Its path, for undo.
    pub netns: &'a NetnsPath,
    /// The link.
    pub link: &'a Link,
    /// The protocol of the routes that the plugin makes anew.
    pub protocol: u8,
}

impl Routes<'_> {
    /// The routes of every table, by any link.
    pub fn all(&self) -> Result<Vec<Stored>> {
        let [v4, v6] = Family::BOTH.map(|family| self.side.rtnl.stored_routes(family));
        let mut all = v4.map_err(kernel)?;
        all.extend(v6.map_err(kernel)?);
        Ok(all)
    }

    /// The unicast routes among `all` that leave by the link, each with only those of its next hops that do.
    pub fn own_of(&self, all: Vec<Stored>) -> Vec<Stored> {
        let index = self.link.index;
        let own = all
            .into_iter()
            .filter(|route| route.is_unicast() && route.table() != LOCAL && route.leaves_by(index));
        own.map(|route| route.part_by(index).unwrap_or(route))
            .collect()
    }

    /// [`Routes::own_of`] the routes of every table.
    pub fn list(&self) -> Result<Vec<Stored>> {
        Ok(self.own_of(self.all()?))
    }

    /// Adds a route, as a copy of one in another table. An existing one stays, without an error.
    pub fn copy(&self, route: &Stored, undo: &mut Undo) -> Result<()> {
        match self.side.rtnl.add_stored(route) {
            Err(err) if err.is(Errno::EEXIST) => Ok(()),
            added => self.kept(added, route.clone(), undo),
        }
    }

    /// Makes a route. An existing one stays, without an error.
    pub fn make(&self, spec: &RouteSpec, undo: &mut Undo) -> Result<()> {
        let spec = RouteSpec {
            protocol: Some(self.protocol),
            ..*spec
        };
        self.copy(&self.link.stored(&spec), undo)
    }

    /// Removes a route of [`Routes::list`]; a missing one is not an error. Next hops by other links stay.
    pub fn remove(&self, route: &Stored, undo: &mut Undo) -> Result<()> {
        let netns = self.netns.clone();
        let Some((whole, rest)) = self.shared(route)? else {
            let (deleted, route) = (delete(self.side, route), route.clone());
            return undo.push_unless_refused(deleted, "put back a route", move || {
                Side::unless_gone(&netns, |sandbox| is_there(sandbox.rtnl.add_stored(&route)))
            });
        };
        let replaced = self.side.rtnl.replace_stored(&rest).map_err(kernel);
        undo.push_unless_refused(replaced, "put back a route", move || {
            Side::unless_gone(&netns, |sandbox| {
                sandbox.rtnl.replace_stored(&whole).map_err(kernel)
            })
        })
    }

    /// Adds a route; fails if another one has its destination and metric in the table. The same one may exist.
    pub fn make_alone(&self, spec: &RouteSpec, undo: &mut Undo) -> Result<()> {
        let route = self.link.stored(&RouteSpec {
            protocol: Some(self.protocol),
            ..*spec
        });
        match self.side.rtnl.add_first_stored(&route) {
            Err(err) if err.is(Errno::EEXIST) => {
                let present = self.list()?;
                let place = |route: &Stored| (route.dst(), route.table(), route.hops());
                if present
                    .iter()
                    .any(|present| place(present) == place(&route))
                {
                    return Ok(());
                }
                let hint = "delete the present one, or give the new one another priority";
                Err(kernel(err).hint(hint))
            }
            Err(err) if err.is(Errno::ENETUNREACH) || err.is(Errno::EHOSTUNREACH) => {
                let hint = "give a gateway that is in a subnet of the interface; sbr takes subnets to its own \
                            tables, so come before it, or name such a table";
                Err(kernel(err).hint(hint))
            }
            added => self.kept(added, route, undo),
        }
    }

    /// Adds a copy of a route to a table that no rule leads to. There the next hop need not be reachable, nor the
    /// source be an address of the link.
    pub fn park(&self, route: &Stored, table: u32, undo: &mut Undo) -> Result<()> {
        let parked = route.clone().in_table(table);
        match self.side.rtnl.add_stored(&parked) {
            Err(err) if is_unreachable(&err) => {
                self.copy(&parked.with_onlink(true).with_source_aside(), undo)
            }
            Err(err) if err.is(Errno::EEXIST) => Ok(()),
            added => self.kept(added, parked, undo),
        }
    }

    /// DEL: deletes the routes that the plugin made, and moves routes to the table that `home` names for theirs. A
    /// route is deleted instead if its place is taken, or if its next hop is unreachable by now.
    pub fn put_back(&self, home: impl Fn(u32) -> Option<u32>, teardown: &mut Teardown) {
        let Some(routes) = listed(self.list(), teardown) else {
            return;
        };
        let (made, mut moved): (Vec<_>, Vec<_>) = routes
            .into_iter()
            .partition(|route| route.protocol() == self.protocol);
        for route in &made {
            teardown.run("delete a route", || delete(self.side, route));
        }
        // Routes to next hops come before those that use them.
        moved.sort_by_key(Stored::has_gateway);
        for route in &moved {
            if let Some(home) = home(route.table()) {
                let back = route.clone().in_table(home);
                teardown.run("put back a route", || put(self.side, &back));
                teardown.run("delete a route", || delete(self.side, route));
            }
        }
    }

    /// Registers the route's deletion for undo, unless the kernel refused it.
    fn kept(
        &self,
        added: std::result::Result<(), Error>,
        route: Stored,
        undo: &mut Undo,
    ) -> Result<()> {
        let netns = self.netns.clone();
        undo.push_unless_refused(added.map_err(kernel), "delete a route", move || {
            Side::unless_gone(&netns, |sandbox| delete(sandbox, &route))
        })
    }

    /// The whole route that `part` is a share of, and the share of the other links. IPv6 deletes single next hops and
    /// needs neither.
    fn shared(&self, part: &Stored) -> Result<Option<(Stored, Stored)>> {
        if part.family() == Family::V6 || !part.has_several() {
            return Ok(None);
        }
        let index = self.link.index;
        let all = self.side.rtnl.stored_routes(Family::V4).map_err(kernel)?;
        let mut shared = all.into_iter().filter_map(|whole| {
            let is_whole = whole.part_by(index).as_ref() == Some(part);
            let rest = whole.part_beside(index).filter(|_| is_whole)?;
            Some((whole, rest))
        });
        Ok(shared.next())
    }
}

/// The table of the VRF that the link is in, which its packets look up in the place of the main one.
pub fn table_of_vrf(side: &Side, link: &Link) -> Result<Option<u32>> {
    let Some(index) = link.controller else {
        return Ok(None);
    };
    let controller = side.rtnl.link_by_index(index).map_err(kernel)?;
    Ok(match controller.map(|link| link.kind) {
        Some(Kind::Vrf { table }) => Some(table),
        _ => None,
    })
}

/// Puts a route back. One whose place somebody has, or whose next hop nothing leads to any more, is left out. A next hop is
/// taken as on the link only where nothing else leads to it.
pub fn put(side: &Side, route: &Stored) -> Result<()> {
    let route = &route.clone().with_source_back();
    match side
        .rtnl
        .add_first_stored(&route.clone().with_onlink(false))
    {
        Err(err) if is_unreachable(&err) => is_past(side.rtnl.add_first_stored(route)),
        added => is_past(added),
    }
}

/// Deletes a route; a missing one is not an error.
pub fn delete(side: &Side, route: &Stored) -> Result<()> {
    match side.rtnl.delete_stored(route) {
        Err(err) if err.is(Errno::ESRCH) => Ok(()),
        deleted => deleted.map_err(kernel),
    }
}

fn listed(routes: Result<Vec<Stored>>, teardown: &mut Teardown) -> Option<Vec<Stored>> {
    match routes {
        Ok(routes) => Some(routes),
        Err(failure) => {
            teardown.run("list routes", || Err(failure));
            None
        }
    }
}

/// Returns whether the kernel found the next hop unreachable.
fn is_unreachable(err: &Error) -> bool {
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EINVAL]
        .iter()
        .any(|errno| err.is(*errno))
}

/// Accepts a route that exists already.
fn is_there(added: std::result::Result<(), Error>) -> Result<()> {
    match added {
        Err(err) if err.is(Errno::EEXIST) => Ok(()),
        added => added.map_err(kernel),
    }
}

/// The same. Also accepts that the interface has lost the route's requirements: its addresses, or its table.
pub fn is_past(added: std::result::Result<(), Error>) -> Result<()> {
    const LOST: [Errno; 5] = [
        Errno::EEXIST,
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::ENETDOWN,
        Errno::EINVAL,
    ];
    match added {
        Err(err) if LOST.iter().any(|errno| err.is(*errno)) => Ok(()),
        added => added.map_err(kernel),
    }
}
