//! What CHECK compares: which routes are gone, and which are there.

use linkspan_attach::Side;
use linkspan_netlink::link::Link;
use linkspan_netlink::stored::Stored;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;

use crate::change::{is_of, is_unwanted};
use crate::conf::Plan;

/// No route that ADD deleted is there again.
pub(crate) fn deleted(side: &Side, link: &Link, present: &[&Stored], plan: &Plan) -> Result<()> {
    // A route that is added again, by whichever plugin, is wanted.
    let is_added = |route: &Stored| plan.add.iter().any(|(_, spec)| is_of(route, spec));
    let back = present
        .iter()
        .find(|route| is_unwanted(route, plan) && !is_added(route));
    match back {
        Some(route) => {
            let what = format!(
                "route-override: route is not removed: route of {side} by {}",
                link.name
            );
            Err(mismatch(what, "none", &route.describe()))
        }
        None => Ok(()),
    }
}

/// Each route that ADD added is there. A later plugin may have moved it to another table.
pub(crate) fn added(side: &Side, link: &Link, present: &[&Stored], plan: &Plan) -> Result<()> {
    for (_, spec) in &plan.add {
        if !present.iter().any(|route| is_of(route, spec)) {
            let (dst, prefix) = spec.dst;
            let what = format!("route to {dst}/{prefix} of {side} by {}", link.name);
            return Err(mismatch(what, "a route", "none"));
        }
    }
    Ok(())
}
