//! The comparisons of CHECK: deleted routes are absent, and added ones exist.

use linkspan_attach::Side;
use linkspan_netlink::link::Link;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use crate::change::{is_of, is_unwanted};
use crate::conf::Plan;

/// The routes by one link that are not parked for DEL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) side: &'a Side,
    pub(crate) link: &'a Link,
    /// The table of the link's VRF.
    pub(crate) vrf: Option<u32>,
    pub(crate) routes: &'a [Stored],
}

impl Found<'_> {
    /// Verifies that the routes deleted by ADD are absent.
    pub(crate) fn lacks_what_was_deleted(&self, plan: &Plan) -> Result<()> {
        // A route that another plugin or this one added again is wanted.
        let is_added = |route: &Stored| plan.add.iter().any(|(_, spec)| is_of(route, spec));
        let is_back = |route: &&Stored| is_unwanted(route, self.vrf, plan) && !is_added(route);
        let Some(route) = self.routes.iter().find(is_back) else {
            return Ok(());
        };
        let (side, name) = (self.side, &self.link.name);
        let what = format!("route-override: route is not removed: route of {side} by {name}");
        Err(mismatch(what, "none", &route.describe()))
    }

    /// Verifies that the routes added by ADD exist. A later plugin may have moved them to another table.
    pub(crate) fn has_what_was_added(&self, plan: &Plan) -> Result<()> {
        for (_, spec) in &plan.add {
            if !self.routes.iter().any(|route| is_of(route, spec)) {
                let (dst, prefix) = spec.dst;
                let (side, name) = (self.side, &self.link.name);
                let what = format!("route to {dst}/{prefix} of {side} by {name}");
                return Err(mismatch(what, "a route", "none"));
            }
        }
        Ok(())
    }
}
