//! Moves the interface's routes from the main table to the tables of its addresses.

use std::net::IpAddr;

use linkspan_attach::routes::Routes;
use linkspan_netlink::route::{MAIN, RouteSpec, SCOPE_LINK};
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Undo, warn};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use crate::claim::Way;
use crate::conf::Plan;

/// An interface, its addresses with their tables, and the options of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) routes: &'a Routes<'a>,
    pub(crate) ways: &'a [Way],
    pub(crate) plan: &'a Plan,
    /// The table that packets without a rule of their own look up: the main one, or that of the interface's VRF.
    pub(crate) home: u32,
    /// The table in which routes that give way to a gateway wait for DEL. Nothing leads there.
    pub(crate) parked: u32,
}

impl Work<'_> {
    /// Fills each table, and then empties the main one, so that no packet finds neither. Families without an address, and
    /// link-local destinations, which are reached by the interface that is named with them, stay in the main table. The
    /// table of a VRF keeps all of its routes, because no other interface's are in the way there, and sockets of the VRF
    /// choose their source by it.
    pub(crate) fn run(&self, own: Vec<Stored>, undo: &mut Undo) -> Result<()> {
        let routes = self.routes;
        let of_addresses = own.into_iter().filter(|route| {
            let is_ours = self.ways.iter().any(|way| is_of_family(way, route));
            is_ours && !(route.table() == MAIN && route.protocol() == routes.protocol)
        });
        let (mut main, earlier): (Vec<_>, Vec<_>) =
            of_addresses.partition(|route| route.table() == self.home);
        for way in self.ways {
            self.fill(way, &main, &earlier, undo)?;
        }
        if self.home != MAIN {
            return Ok(());
        }
        for route in main.iter().filter(|route| self.gives_way(route)) {
            routes.copy(&route.clone().in_table(self.parked), undo)?;
        }
        main.retain(|route| !is_link_local(route));
        if self.plan.source_hints {
            let hints = hints(&main, self.ways);
            for hint in &hints {
                routes.make(hint, undo)?;
            }
            let is_replaced = |route: &Stored| hints.iter().any(|hint| hint.dst == route.dst());
            main.retain(|route| route.has_gateway() || is_replaced(route));
        }
        for route in &main {
            routes.remove(route, undo)?;
        }
        Ok(())
    }

    /// Fills the table of one address from the main one. The kernel resolves a next hop by routes that were added
    /// before it. The routes of an `earlier` ADD stay.
    fn fill(&self, way: &Way, main: &[Stored], earlier: &[Stored], undo: &mut Undo) -> Result<()> {
        let (ip, table) = way;
        let wanted = main.iter().filter(|route| {
            let is_own = is_of_family(way, route) && belongs(route, ip.address, self.ways);
            is_own && !self.gives_way(route)
        });
        let (through, direct): (Vec<_>, Vec<_>) = wanted.partition(|route| route.has_gateway());
        for route in direct {
            self.copy(route, *table, undo)?;
        }
        let is_there = |route: &Stored| route.table() == *table && is_of_family(way, route);
        let mut of_table = earlier.iter().filter(|route| is_there(route));
        let has_default =
            through.iter().any(|route| route.is_default()) || of_table.any(Stored::is_default);
        if !has_default {
            self.make_default(way, undo)?;
        }
        for route in through {
            self.copy(route, *table, undo)?;
        }
        Ok(())
    }

    /// Adds a copy to a table. Of an interface in a VRF the kernel refuses the source there, which the rule has chosen anyway.
    fn copy(&self, route: &Stored, table: u32, undo: &mut Undo) -> Result<()> {
        match self.home {
            MAIN => self.routes.copy(&route.clone().in_table(table), undo),
            _ => self.routes.park(route, table, undo),
        }
    }

    fn make_default(&self, (ip, table): &Way, undo: &mut Undo) -> Result<()> {
        let family = Family::of(ip.address.ip());
        let gateway = self.plan.gateways.of_family(family).or(ip.gateway);
        let Some(gateway) = gateway.filter(|gateway| Family::of(*gateway) == family) else {
            let address = ip.address;
            warn(&format!(
                "sbr: no gateway for {address}: table {table} has no default route"
            ));
            return Ok(());
        };
        let default = RouteSpec {
            gw: Some(gateway),
            table: Some(*table),
            ..RouteSpec::to(family.unspecified(), 0)
        };
        self.routes.make(&default, undo)
    }

    /// Returns whether the route leads to another gateway than the configured one.
    fn gives_way(&self, route: &Stored) -> bool {
        let gateway = self.plan.gateways.of_family(route.family());
        let is_by_it = route.hops().iter().all(|hop| hop.gw == gateway);
        route.is_default() && gateway.is_some() && !is_by_it
    }
}

/// The subnets of the addresses, with the address as source. Two addresses of one subnet share its route, and the
/// first one is its source.
fn hints(main: &[Stored], ways: &[Way]) -> Vec<RouteSpec> {
    let mut hints: Vec<RouteSpec> = Vec::new();
    for (ip, _) in ways {
        let address = ip.address;
        let dst = (address.network(), address.prefix());
        let is_there = main
            .iter()
            .any(|route| route.dst() == dst && !route.has_gateway() && route.src().is_some());
        if is_there || hints.iter().any(|hint| hint.dst == dst) {
            continue;
        }
        hints.push(RouteSpec {
            src: Some(address.ip()),
            scope: Some(SCOPE_LINK).filter(|_| address.ip().is_ipv4()),
            ..RouteSpec::to(dst.0, dst.1)
        });
    }
    hints
}

/// Returns whether a route is for packets from an address: its next hop or its source is in the address' subnet. A
/// route with neither in any of the subnets is for all.
fn belongs(route: &Stored, address: Cidr, ways: &[Way]) -> bool {
    let mut ends: Vec<IpAddr> = route.hops().iter().filter_map(|hop| hop.gw).collect();
    ends.extend(route.src());
    let is_in = |subnet: Cidr| ends.iter().any(|end| subnet.contains(*end));
    is_in(address) || !ways.iter().any(|(ip, _)| is_in(ip.address))
}

fn is_of_family((ip, _): &Way, route: &Stored) -> bool {
    Family::of(ip.address.ip()) == route.family()
}

fn is_link_local(route: &Stored) -> bool {
    matches!(route.dst().0, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
