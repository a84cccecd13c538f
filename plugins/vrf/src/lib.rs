//! The `vrf` plugin: puts the interface into a VRF of the container, which has a separate routing table. A chained
//! plugin.
//!
//! Attachments of one container share a VRF by its name, so it goes with the last of its ports. The kernel flushes routes
//! and IPv6 addresses of an interface that changes its VRF. The plugin puts them back, in the table of the VRF. Meanwhile
//! the routes have copies, for the case that the process is killed.

mod conf;
mod contents;
mod device;
mod refuge;

use linkspan_attach::parking::Parking;
use linkspan_attach::routes::Routes;
use linkspan_attach::{Side, end};
use linkspan_netlink::link::{Kind, Link};
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::{mismatch, promised, same};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};
use contents::Contents;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Vrf>();

#[derive(Debug)]
struct Vrf;

impl Plugin for Vrf {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["vrf"];
    const NEEDED: &'static [&'static str] = &["vrfname"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(call, &conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let result = chained::previous(call)?;
        let sandbox = Side::inside(&call.netns)?;
        let ifname = call.attachment.ifname.as_str();
        let parking = Parking::of(&call.owner());
        let vrf = device::ensure(&sandbox, &plan, (&call.netns, parking), undo)?;
        let link = sandbox.link(ifname)?;
        undo.push("put back routes", {
            let (netns, name, ifname) = (call.netns.clone(), plan.name.clone(), ifname.to_owned());
            move || put_back(&netns, (&name, &ifname), parking)
        });
        match link.controller {
            None => {}
            Some(index) if index == vrf.link.index => return Ok(result),
            Some(index) => return Err(device::has_another(&sandbox, ifname, index)),
        }
        let routes = by_link(&sandbox, &call.netns, &link);
        let contents = Contents::of(&routes, parking)?;
        contents.move_into(&routes, &vrf, undo)?;
        Ok(result)
    }

    /// Ignores an interface that is in another VRF, or in none. Deletes the VRF if it is empty.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let Some(netns) = &call.netns else {
            return Ok(());
        };
        let Some(sandbox) = Side::sandbox(netns)? else {
            return Ok(());
        };
        // ADD refuses an invalid name, so no such VRF was created.
        let Ok(name) = IfName::parse(&conf.vrfname) else {
            return Ok(());
        };
        let Some(vrf) = device::find(&sandbox, name.as_str())? else {
            return Ok(());
        };
        let mut teardown = Teardown::default();
        let link = sandbox.find(call.attachment.ifname.as_str())?;
        let parking = Parking::of(&call.owner());
        let refuge = vrf.refuge(&sandbox, parking);
        // Copies of routes that found no way back go with the VRF, so it stays for the next DEL then.
        teardown.run("take the interface out of the VRF", || {
            match &link {
                Some(link) if link.controller == Some(vrf.link.index) => {
                    let routes = by_link(&sandbox, netns, link);
                    let contents = Contents::of(&routes, parking)?;
                    contents.with(refuge.routes_of(link)?).move_out(&refuge)?;
                }
                Some(link) if link.controller.is_none() => refuge.put_back(link)?,
                _ => refuge.clear()?,
            }
            device::delete_if_empty(&sandbox, &vrf)
        });
        teardown.finish()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        promised(call)?;
        let sandbox = Side::inside(&call.netns)?;
        let (name, ifname) = (plan.name.as_str(), call.attachment.ifname.as_str());
        let vrf = device::find(&sandbox, name)?
            .ok_or_else(|| mismatch(format!("VRF {name} in {sandbox}"), "a VRF", "none"))?;
        if let Some(table) = plan.table {
            let what = format!("table of VRF {name}");
            same(what, &table.to_string(), &vrf.table.to_string())?;
        }
        if sandbox.link(ifname)?.controller != Some(vrf.link.index) {
            let text = format!("failed to find {ifname} associated to vrf {name}");
            return Err(Failure::new(ErrorCode::INTERNAL, text).hint("attach the container anew"));
        }
        Ok(())
    }

    /// A VRF goes with its namespace.
    fn gc(_call: &GcCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    fn status(_call: &StatusCall, _plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        end::status(&Side::host()?, &Kind::Vrf { table: 1 })
    }
}

/// Undo: an interface that is not in the VRF gets its routes back; the copies of one that stays in it wait for DEL.
fn put_back(netns: &NetnsPath, (name, ifname): (&IfName, &str), parking: Parking) -> Result<()> {
    Side::unless_gone(netns, |side| {
        let vrf = device::find(side, name.as_str())?;
        let (Some(vrf), Some(link)) = (vrf, side.find(ifname)?) else {
            return Ok(());
        };
        match link.controller {
            None => vrf.refuge(side, parking).put_back(&link),
            Some(_) => Ok(()),
        }
    })
}

/// The plugin makes no new routes, so their protocol does not matter.
fn by_link<'a>(side: &'a Side, netns: &'a NetnsPath, link: &'a Link) -> Routes<'a> {
    Routes {
        side,
        netns,
        link,
        protocol: 0,
    }
}
