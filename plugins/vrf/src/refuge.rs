//! Copies of the interface's routes that outlive the kernel's flush while the interface changes its VRF. They leave by the
//! VRF, in tables of the attachment that nothing leads to. A DEL finds them where a process was killed in between.

use linkspan_attach::parking::Parking;
use linkspan_attach::routes::{delete, is_past, put};
use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_netlink::route::MAIN;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::Result;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

/// The copies of one attachment by one VRF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refuge<'a> {
    pub(crate) side: &'a Side,
    pub(crate) vrf: &'a Link,
    /// The table of the VRF.
    pub(crate) table: u32,
    pub(crate) parking: Parking,
}

impl Refuge<'_> {
    /// Copies routes of the interface. One that the kernel makes anew by itself, that has no place there, or that the kernel
    /// does not take there, is without a copy.
    pub(crate) fn take_in(&self, routes: &[Stored]) -> Result<()> {
        let own = [MAIN, self.table];
        let is_made_anew =
            |route: &&Stored| route.is_of_the_kernel() && own.contains(&route.table());
        for route in routes.iter().filter(|route| !is_made_anew(route)) {
            let place = self.parking.shelter(route.table(), Some(self.table));
            let Some(table) = place else { continue };
            let copy = route.clone().by_link(self.vrf.index).in_table(table);
            let copy = copy.with_onlink(true).with_source_aside();
            match self.side.rtnl.add_stored(&copy) {
                // The VRF has no IPv6.
                Err(err) if err.is(Errno::EACCES) || err.is(Errno::ENODEV) => {}
                added => is_past(added)?,
            }
        }
        Ok(())
    }

    /// The routes of the interface that have copies, as they were.
    pub(crate) fn routes_of(&self, link: &Link) -> Result<Vec<Stored>> {
        let vrf = Some(self.table);
        let copies = self.copies()?.into_iter();
        Ok(copies
            .filter_map(|copy| {
                let home = self.parking.sheltered(copy.table(), vrf)?;
                let route = copy.by_link(link.index).in_table(home);
                Some(route.with_onlink(false).with_source_back())
            })
            .collect())
    }

    /// Puts the routes of an interface that is in no VRF back where they were, and deletes the copies.
    pub(crate) fn put_back(&self, link: &Link) -> Result<()> {
        let mut routes = self.routes_of(link)?;
        routes.sort_by_key(Stored::has_gateway);
        for route in &routes {
            put(self.side, &route.clone().with_onlink(true))?;
        }
        self.clear()
    }

    /// Deletes the copies.
    pub(crate) fn clear(&self) -> Result<()> {
        for copy in self.copies()? {
            delete(self.side, &copy)?;
        }
        Ok(())
    }

    /// The routes by the VRF that are copies.
    pub(crate) fn copies(&self) -> Result<Vec<Stored>> {
        let mut copies = Vec::new();
        for family in Family::BOTH {
            copies.extend(self.side.rtnl.stored_routes(family).map_err(kernel)?);
        }
        let vrf = Some(self.table);
        copies.retain(|route| {
            let is_sheltered = self.parking.sheltered(route.table(), vrf).is_some();
            is_sheltered && route.leaves_by(self.vrf.index)
        });
        Ok(copies)
    }
}
