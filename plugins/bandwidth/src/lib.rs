//! The `bandwidth` plugin: limits the rate of packets to a container and from it. A chained plugin.
//!
//! It works on the host's end of the container's pair. Packets to the container are queued at the root of that end,
//! and packets from the container are redirected through an ifb. With `shapeIn` it works in the container instead.

mod check;
mod clear;
mod conf;
mod ends;
mod limit;
mod names;
mod shape;

use linkspan_attach::{Side, Sides};
use linkspan_netlink::link::Link;
use linkspan_netlink::tc_filter::Match;
use linkspan_owner::line::Owner;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::addr::{MacAddr, NetnsPath};
use linkspan_protocol::error::Failure;
use linkspan_protocol::result::{AddResult, Interface};

use conf::{Conf, Plan, Scope};
use limit::Limit;
use names::Names;
use shape::{Peer, Point, Way, is_of_another};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Bandwidth>();

#[derive(Debug)]
struct Bandwidth;

impl Plugin for Bandwidth {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["bandwidth"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let mut result = chained::previous(call)?;
        if plan.is_empty() {
            return Ok(result);
        }
        let ifname = call.attachment.ifname.as_str();
        let sides = Sides::open(&call.netns)?;
        let (side, link) = shaped(&sides, &plan, ifname, &result)?;
        let names = Names::of(&call.network, &call.attachment);
        let owner = call.owner();
        let point = point(side, &link, (&owner, &names));
        // An earlier ADD may have left its state.
        point.clear()?;
        let (netns, in_container) = (call.netns.clone(), plan.in_container);
        let (of_undo, index) = ((owner.clone(), names.clone()), link.index);
        undo.push("take the limits away", move || {
            let (owner, names) = &of_undo;
            unshape(&netns, in_container, index, (owner, names))
        });
        let made = shape(&point, &plan)?;
        let sandbox = if plan.in_container {
            call.netns.to_string()
        } else {
            String::new()
        };
        result.interfaces.extend(made.map(|ifb| Interface {
            name: ifb.name,
            mac: MacAddr(ifb.mac).to_string(),
            sandbox,
            ..Interface::default()
        }));
        Ok(result)
    }

    /// DEL needs neither rates nor a previous result.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let names = Names::of(&call.network, &call.attachment);
        let (owner, ifname) = (call.owner(), call.attachment.ifname.as_str());
        let of_us = (&owner, &names);
        let mut teardown = Teardown::default();
        let sandbox = call.netns.as_ref().map(Side::sandbox).transpose();
        let sandbox = match sandbox {
            Ok(sandbox) => sandbox.flatten(),
            Err(failure) => {
                teardown.run("enter the container", || Err(failure));
                None
            }
        };
        if let Some(sandbox) = &sandbox
            && conf::in_container(&conf).unwrap_or_default()
        {
            teardown.run("take the limits from the container", || {
                match sandbox.find(ifname)? {
                    Some(link) => point(sandbox, &link, of_us).clear(),
                    None => Ok(()),
                }
            });
        }
        teardown.run("take the limits from the host", || {
            on_host(sandbox.as_ref(), ifname, of_us)
        });
        teardown.finish()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = call
            .netconf
            .prev_result()?
            .ok_or_else(|| Failure::config("must be called as a chained plugin"))?;
        let ifname = call.attachment.ifname.as_str();
        let sides = Sides::open(&call.netns)?;
        let (side, link) = shaped(&sides, &plan, ifname, &promised)?;
        let names = Names::of(&call.network, &call.attachment);
        check::run(&point(side, &link, (&call.owner(), &names)), &plan)
    }

    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        clear::collect(&call.stale())
    }

    fn status(_call: &StatusCall, _plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])
    }
}

/// The shaped link, and its side.
fn shaped<'a>(
    sides: &'a Sides,
    plan: &Plan,
    ifname: &str,
    result: &AddResult,
) -> Result<(&'a Side, Link)> {
    Ok(if plan.in_container {
        (&sides.sandbox, sides.sandbox.link(ifname)?)
    } else {
        (&sides.host, ends::on_host(sides, ifname, result)?)
    })
}

fn point<'a>(side: &'a Side, link: &'a Link, (owner, names): (&'a Owner, &'a Names)) -> Point<'a> {
    Point {
        side,
        link,
        owner,
        names,
    }
}

/// The limit of packets that pass the link in direction `way`, and the match of the container's peer in them.
pub(crate) fn limit_of(plan: &Plan, way: Way) -> (Option<Limit>, Peer) {
    // Packets that leave by the host's end go to the container.
    if plan.in_container == (way == Way::In) {
        (plan.ingress, |net| Match::From(net.network(), net.prefix()))
    } else {
        (plan.egress, |net| Match::To(net.network(), net.prefix()))
    }
}

/// Shapes both directions. Returns the ifb for incoming packets. The result names it, as the Go plugin's does.
fn shape(point: &Point<'_>, plan: &Plan) -> Result<Option<Link>> {
    let mtu = point.link.mtu;
    if let (Some(limit), peer) = limit_of(plan, Way::Out) {
        if plan.scope == Scope::All {
            point.shape_all(limit.bucket(mtu))?;
        } else {
            point.lead(Way::Out, limit.bucket(mtu), (&plan.scope, peer))?;
        }
    }
    let (limit, peer) = limit_of(plan, Way::In);
    let lead = |limit: Limit| point.lead(Way::In, limit.bucket(mtu), (&plan.scope, peer));
    limit.map(lead).transpose()
}

/// Undoes [`shape`] over new connections.
fn unshape(
    netns: &NetnsPath,
    in_container: bool,
    index: u32,
    (owner, names): (&Owner, &Names),
) -> Result<()> {
    let side = if in_container {
        Side::sandbox(netns)?
    } else {
        Some(Side::host()?)
    };
    let Some(side) = side else { return Ok(()) };
    let link = side
        .rtnl
        .link_by_index(index)
        .map_err(linkspan_attach::kernel)?;
    link.map_or(Ok(()), |link| point(&side, &link, (owner, names)).clear())
}

/// Removes the limits from the host's end, if it still exists and is the attachment's, and removes the ifbs.
fn on_host(sandbox: Option<&Side>, ifname: &str, of_us: (&Owner, &Names)) -> Result<()> {
    let host = Side::host()?;
    let (owner, names) = of_us;
    let end = match sandbox {
        Some(sandbox) => ends::left_on_host(&host, sandbox, ifname)?,
        None => clear::tagged(&host, owner)?,
    };
    // The path of a late DEL may belong to another container by now.
    if let Some(end) = end.filter(|end| !is_of_another(end, owner)) {
        return point(&host, &end, of_us).clear();
    }
    let mut teardown = Teardown::default();
    clear::delete(&clear::waiting(&host, names, owner)?, &mut teardown);
    teardown.finish()
}
