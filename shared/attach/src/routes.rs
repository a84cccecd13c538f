//! The routes of an interface as the kernel keeps them, whole. ADD moves them to other tables, each with its undo, and DEL
//! puts them back.

use linkspan_netlink::error::Error;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::{LOCAL, RouteSpec};
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Teardown, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::{Side, kernel};

/// The protocols of routes that plugins make anew, by which DEL knows them.
pub const SBR: u8 = 76;
/// See [`SBR`].
pub const ROUTE_OVERRIDE: u8 = 77;
/// See [`SBR`].
pub const HOST_REACH: u8 = 78;

/// The routes by one link of a container, and how a plugin changes them.
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

    /// Of these, the unicast ones that leave by the link, each with those of its next hops alone that do.
    pub fn own_of(&self, all: Vec<Stored>) -> Vec<Stored> {
        let index = self.link.index;
        let own = all
            .into_iter()
            .filter(|route| route.is_unicast() && route.table() != LOCAL && route.leaves_by(index));
        own.map(|route| route.part_by(index).unwrap_or(route))
            .collect()
    }

    /// [`Routes::own_of`] all.
    pub fn list(&self) -> Result<Vec<Stored>> {
        Ok(self.own_of(self.all()?))
    }

    /// Adds a route, as a copy of one in another table. One that is there already is fine, and stays.
    pub fn copy(&self, route: &Stored, undo: &mut Undo) -> Result<()> {
        match self.side.rtnl.add_stored(route) {
            Err(err) if err.is(Errno::EEXIST) => Ok(()),
            added => self.kept(added, route.clone(), undo),
        }
    }

    /// Makes a route. One that is there already is fine, and stays.
    pub fn make(&self, spec: &RouteSpec, undo: &mut Undo) -> Result<()> {
        let spec = RouteSpec {
            protocol: Some(self.protocol),
            ..*spec
        };
        self.copy(&self.link.stored(&spec), undo)
    }

    /// Removes a route of [`Routes::list`]; one that is gone is fine. Next hops by other links stay.
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

    /// Adds a route that is alone to its destination with its metric in its table. The same one may be there.
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

    /// Adds a copy of a route to a table that nothing leads to, where its next hop need not be reachable, nor its source be
    /// an address.
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

    /// DEL: deletes the routes that the plugin made, and moves those in the tables that have a `home` there. A route whose
    /// place somebody has, or whose next hop nothing leads to any more, is deleted.
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
        moved.sort_by_key(|route| route.hops().iter().any(|hop| hop.gw.is_some()));
        for route in &moved {
            if let Some(home) = home(route.table()) {
                let back = route.clone().in_table(home);
                teardown.run("put back a route", || put(self.side, &back));
                teardown.run("delete a route", || delete(self.side, route));
            }
        }
    }

    /// Has undo delete a route, unless the kernel refused it.
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

    /// The route that has `part` beside next hops by other links, and the latter alone. IPv6 deletes single next hops, and
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

/// Deletes a route; one that is gone is fine.
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

/// Whether the kernel found no way to a next hop.
fn is_unreachable(err: &Error) -> bool {
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EINVAL]
        .iter()
        .any(|errno| err.is(*errno))
}

/// A route is there now, whoever added it.
fn is_there(added: std::result::Result<(), Error>) -> Result<()> {
    match added {
        Err(err) if err.is(Errno::EEXIST) => Ok(()),
        added => added.map_err(kernel),
    }
}

/// The same, or the interface has lost what the route needs: its addresses, or its place.
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
