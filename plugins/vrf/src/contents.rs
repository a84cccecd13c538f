//! The addresses and routes of the interface, which the kernel flushes when its VRF changes.

use std::net::IpAddr;

use linkspan_attach::parking::Parking;
use linkspan_attach::routes::{Routes, delete, put};
use linkspan_attach::{Side, kernel};
use linkspan_netlink::addr::StoredAddr;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::MAIN;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Teardown, Undo};
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::device::Device;
use crate::refuge::Refuge;

/// Scope of an address as the kernel numbers it. The kernel creates addresses of other scopes itself.
const GLOBAL: u8 = 0;

/// The addresses and routes of an interface.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    link: Link,
    /// The IPv6 addresses. IPv4 addresses stay.
    addrs: Vec<StoredAddr>,
    routes: Vec<Stored>,
    parking: Parking,
}

impl Contents {
    pub(crate) fn of(routes: &Routes<'_>, parking: Parking) -> Result<Self> {
        let mut addrs = routes.link.stored_addrs(Family::V6).map_err(kernel)?;
        addrs.retain(|stored| stored.addr.scope == GLOBAL);
        let mut all = routes.list()?;
        // Routes to next hops come before those that use them.
        all.sort_by_key(Stored::has_gateway);
        Ok(Self {
            link: routes.link.clone(),
            addrs,
            routes: all,
            parking,
        })
    }

    /// Puts the interface into the VRF with its addresses and routes. Routes of other tables than the main one are
    /// usable from both.
    pub(crate) fn move_into(
        &self,
        routes: &Routes<'_>,
        vrf: &Device,
        undo: &mut Undo,
    ) -> Result<()> {
        let (netns, before) = (routes.netns.clone(), self.clone());
        let refuge = vrf.refuge(routes.side, self.parking);
        refuge.take_in(&self.routes)?;
        let moved = self.link.set_controller(Some(vrf.link.index));
        let moved = moved.map_err(kernel);
        undo.push_unless_refused(moved, "take the interface out of the VRF", move || {
            Side::unless_gone(&netns, |side| before.come_back(side))
        })?;
        self.put_addresses(&self.link)?;
        for route in &self.routes {
            // The kernel recreates its own routes.
            if !route.is_of_the_kernel() && !self.parking.has(route.table()) {
                routes.copy(&route.clone().in_table(vrf.table), undo)?;
            }
            if route.table() != MAIN {
                routes.park(route, route.table(), undo)?;
            }
        }
        self.delete_revived(routes, vrf.table)?;
        refuge.clear()
    }

    /// With routes that a process had in hand when it was killed.
    pub(crate) fn with(mut self, routes: Vec<Stored>) -> Self {
        let is_new = |route: &Stored| !self.routes.contains(route);
        let new: Vec<_> = routes.into_iter().filter(is_new).collect();
        self.routes.extend(new);
        self
    }

    /// Deletes from the table of the VRF those routes of the kernel that an earlier plugin had deleted: the kernel
    /// recreates them there.
    fn delete_revived(&self, routes: &Routes<'_>, table: u32) -> Result<()> {
        let was_there = |route: &Stored| {
            let mut before = self.routes.iter();
            before.any(|other| other.dst() == route.dst() && !self.parking.has(other.table()))
        };
        for route in routes.list()? {
            let is_own = route.table() == table && route.is_of_the_kernel();
            if is_own && !is_link_local(&route) && !was_there(&route) {
                delete(routes.side, &route)?;
            }
        }
        Ok(())
    }

    /// Takes the interface out of the VRF. The routes of its table move to the main one, unless they are also in another one.
    pub(crate) fn move_out(mut self, refuge: &Refuge<'_>) -> Result<()> {
        let (side, table) = (refuge.side, refuge.table);
        let (of_vrf, mut kept): (Vec<_>, Vec<_>) = self
            .routes
            .into_iter()
            .partition(|route| route.table() == table);
        let is_kept = |route: &Stored| kept.iter().any(|other| is_copy(other, route));
        let (copies, own): (Vec<_>, Vec<_>) = of_vrf.into_iter().partition(is_kept);
        drop(copies);
        let own = own.into_iter().filter(|route| !route.is_of_the_kernel());
        kept.extend(own.map(|route| route.in_table(MAIN)));
        kept.sort_by_key(Stored::has_gateway);
        self.routes = kept;
        refuge.take_in(&self.routes)?;
        self.come_back(side)?;
        refuge.clear()
    }

    /// Takes the interface out of its VRF, and restores addresses and routes.
    fn come_back(&self, side: &Side) -> Result<()> {
        let Some(link) = side.rtnl.link_by_index(self.link.index).map_err(kernel)? else {
            return Ok(());
        };
        if link.controller.is_some() {
            link.set_controller(None).map_err(kernel)?;
        }
        let mut teardown = Teardown::default();
        teardown.run("put back addresses", || self.put_addresses(&link));
        for route in &self.routes {
            teardown.run("put back a route", || put(side, route));
        }
        teardown.run("delete routes", || self.delete_doubles(side));
        teardown.finish()
    }

    /// Deletes from the main table those routes of the kernel that an earlier plugin had moved to another table: the
    /// kernel recreates them there. Link-local routes are in both.
    fn delete_doubles(&self, side: &Side) -> Result<()> {
        let is_moved = |route: &Stored| {
            let mut copies = self.routes.iter().filter(|other| is_copy(other, route));
            let is_elsewhere = copies.clone().any(|other| other.table() != MAIN);
            is_elsewhere && !copies.any(|other| other.table() == MAIN)
        };
        for family in Family::BOTH {
            for route in side.rtnl.stored_routes(family).map_err(kernel)? {
                let is_own = route.table() == MAIN && route.is_of_the_kernel();
                if is_own && !is_link_local(&route) && is_moved(&route) {
                    delete(side, &route)?;
                }
            }
        }
        Ok(())
    }

    /// Restores the addresses without duplicate address detection, since they were usable before.
    fn put_addresses(&self, link: &Link) -> Result<()> {
        let present = link.addrs(Some(Family::V6)).map_err(kernel)?;
        for stored in &self.addrs {
            let (ip, prefix) = (stored.addr.ip, stored.addr.prefix);
            match present.iter().find(|addr| addr.ip == ip) {
                Some(addr) if !addr.tentative => continue,
                Some(_) => link.del_addr(ip, prefix).map_err(kernel)?,
                None => {}
            }
            match link.add_stored_addr(stored) {
                Err(err) if err.is(Errno::EEXIST) => {}
                added => added.map_err(kernel)?,
            }
        }
        Ok(())
    }
}

/// Returns whether one is a copy of the other for another table.
fn is_copy(one: &Stored, other: &Stored) -> bool {
    plain(one) == plain(other)
}

/// The route as it would be in the main table, in one form.
fn plain(route: &Stored) -> Stored {
    let route = route.clone().with_onlink(false);
    route.with_source_back().with_source_aside().in_table(MAIN)
}

fn is_link_local(route: &Stored) -> bool {
    matches!(route.dst().0, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
