//! The `route-override` plugin: deletes and adds routes of the interface that an earlier plugin made. A chained
//! plugin.
//!
//! It owns the routes that it adds, and those that it deleted, which are parked for DEL in tables of the container
//! that no rule leads to. All of them go with the interface.

mod change;
mod check;
mod conf;

use linkspan_attach::Side;
use linkspan_attach::routes::{ROUTE_OVERRIDE, Routes, table_of_vrf};
use linkspan_netlink::link::Link;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::result::AddResult;

use change::Change;
use check::Found;
use conf::{Conf, Plan};
use linkspan_attach::parking::Parking;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<RouteOverride>();

#[derive(Debug)]
struct RouteOverride;

impl Plugin for RouteOverride {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["route-override"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let mut result = chained::previous(call)?;
        if plan.is_empty() {
            return Ok(result);
        }
        let sandbox = Side::inside(&call.netns)?;
        let mut links = Vec::new();
        for name in names(&result, call.attachment.ifname.as_str()) {
            links.push(sandbox.link(name)?);
        }
        let change = Change {
            plan: &plan,
            parking: Parking::of(&call.owner()),
            side: &sandbox,
            netns: &call.netns,
        };
        for link in &links {
            change.delete(link, table_of_vrf(&sandbox, link)?, undo)?;
        }
        if let Some(first) = links.first() {
            change.add(first, table_of_vrf(&sandbox, first)?, undo)?;
        }
        change::result(&mut result, &plan);
        Ok(result)
    }

    /// DEL reads no key: the routes tell the changes of ADD.
    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        let Some(netns) = &call.netns else {
            return Ok(());
        };
        let Some(sandbox) = Side::sandbox(netns)? else {
            return Ok(());
        };
        // DEL works with a malformed previous result.
        let told = call
            .netconf
            .prev_result()
            .ok()
            .flatten()
            .unwrap_or_default();
        let parking = Parking::of(&call.owner());
        let mut teardown = Teardown::default();
        for name in names(&told, call.attachment.ifname.as_str()) {
            if let Some(link) = sandbox.find(name)? {
                let vrf = table_of_vrf(&sandbox, &link)?;
                let routes = by_link(&sandbox, netns, &link);
                routes.put_back(|table| parking.home(table, vrf), &mut teardown);
            }
        }
        teardown.finish()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        if plan.skip_check || plan.is_empty() {
            return Ok(());
        }
        let sandbox = Side::inside(&call.netns)?;
        let parking = Parking::of(&call.owner());
        for (at, name) in names(&promised, call.attachment.ifname.as_str())
            .iter()
            .enumerate()
        {
            let link = sandbox.link(name)?;
            let mut routes = by_link(&sandbox, &call.netns, &link).list()?;
            routes.retain(|route| !parking.has(route.table()));
            let found = Found {
                side: &sandbox,
                link: &link,
                vrf: table_of_vrf(&sandbox, &link)?,
                routes: &routes,
            };
            found.lacks_what_was_deleted(&plan)?;
            if at == 0 {
                found.has_what_was_added(&plan)?;
            }
        }
        Ok(())
    }

    /// Routes go with their interfaces.
    fn gc(_call: &GcCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    fn status(_call: &StatusCall, plan: Plan) -> Result<()> {
        if plan.is_empty() {
            return Ok(());
        }
        require(&[Capability::NetAdmin, Capability::SysAdmin])
    }
}

fn by_link<'a>(side: &'a Side, netns: &'a NetnsPath, link: &'a Link) -> Routes<'a> {
    Routes {
        side,
        netns,
        link,
        protocol: ROUTE_OVERRIDE,
    }
}

/// The interfaces of the container in the result, the attachment's own one first. If the result has none, the
/// attachment's own one.
fn names<'a>(result: &'a AddResult, ifname: &'a str) -> Vec<&'a str> {
    let inside = result
        .interfaces
        .iter()
        .filter(|item| !item.sandbox.is_empty());
    let mut names: Vec<_> = inside.map(|item| item.name.as_str()).collect();
    if names.is_empty() {
        names.push(ifname);
    }
    names.sort_by_key(|name| (*name != ifname, *name));
    names.dedup();
    names
}
