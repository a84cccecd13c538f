//! ADD: deletes and adds routes, in the kernel and in the result.

use std::net::IpAddr;

use linkspan_attach::Side;
use linkspan_attach::parking::Parking;
use linkspan_attach::routes::{ROUTE_OVERRIDE, SBR};
use linkspan_netlink::link::Link;
use linkspan_netlink::route::{MAIN, RouteSpec, SCOPE_LINK};
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::result::{AddResult, Route};

use crate::by_link;
use crate::conf::Plan;

/// The changes of one ADD.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) parking: Parking,
    pub(crate) side: &'a Side,
    pub(crate) netns: &'a NetnsPath,
}

impl Change<'_> {
    /// Deletes the link's unwanted routes from every table. Each one is parked for DEL. The link's VRF, if it is in
    /// one, has the table `vrf`.
    pub(crate) fn delete(&self, link: &Link, vrf: Option<u32>, undo: &mut Undo) -> Result<()> {
        let routes = by_link(self.side, self.netns, link);
        let mut unwanted = routes.list()?;
        unwanted.retain(|route| {
            let is_parked = self.parking.has(route.table());
            !is_parked && is_unwanted(route, vrf, self.plan)
        });
        // A route to a next hop is deleted after the routes that use it.
        unwanted.sort_by_key(|route| !route.has_gateway());
        for route in unwanted {
            if let Some(place) = self.parking.place(route.table(), vrf) {
                routes.park(&route, place, undo)?;
            }
            routes.remove(&route, undo)?;
        }
        Ok(())
    }

    /// Adds the routes to the link, by default to `table`.
    pub(crate) fn add(&self, link: &Link, table: Option<u32>, undo: &mut Undo) -> Result<()> {
        let routes = by_link(self.side, self.netns, link);
        for (_, spec) in &self.plan.add {
            let spec = RouteSpec {
                table: spec.table.or(table),
                ..*spec
            };
            routes.make_alone(&spec, undo)?;
        }
        Ok(())
    }
}

/// Returns whether the plan deletes the route. Routes made by `sbr` or this plugin stay. A flush covers the tables
/// that are looked up without a specific rule: the main one, and that of the VRF.
pub(crate) fn is_unwanted(route: &Stored, vrf: Option<u32>, plan: &Plan) -> bool {
    if [SBR, ROUTE_OVERRIDE].contains(&route.protocol()) {
        return false;
    }
    let leads_away = route.is_default() || route.has_gateway();
    let is_flushed = leads_away && route.scope() != SCOPE_LINK && !is_link_local(route.dst().0);
    let is_flushed = plan.flush_routes && is_flushed;
    let is_gateway = plan.flush_gateway && route.is_default();
    let is_looked_up = route.table() == MAIN || Some(route.table()) == vrf;
    (is_looked_up && (is_flushed || is_gateway))
        || plan.delete.iter().any(|spec| is_of(route, spec))
}

/// Returns whether an entry of `delroutes` or `addroutes` names the route.
pub(crate) fn is_of(route: &Stored, spec: &RouteSpec) -> bool {
    let is_by = |gw: IpAddr| route.hops().iter().any(|hop| hop.gw == Some(gw));
    route.dst() == spec.dst
        && spec.gw.is_none_or(is_by)
        && spec.table.is_none_or(|table| route.table() == table)
        && (spec.priority == 0 || route.priority() == spec.priority)
}

/// Updates the result to the present routes.
pub(crate) fn result(result: &mut AddResult, plan: &Plan) {
    let is_deleted = |route: &Route| {
        let dst = (route.dst.network(), route.dst.prefix());
        let is_of = |spec: &RouteSpec| {
            spec.dst == dst
                && spec
                    .gw
                    .is_none_or(|gw| route.gw.is_none_or(|own| own == gw))
        };
        plan.flush_routes
            || (plan.flush_gateway && route.dst.is_default())
            || plan.delete.iter().any(is_of)
    };
    result.routes.retain(|route| !is_deleted(route));
    if plan.flush_gateway {
        for ip in &mut result.ips {
            ip.gateway = None;
        }
    }
    for (route, _) in &plan.add {
        if !result.routes.contains(route) {
            result.routes.push(route.clone());
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
