//! The VRF itself: found or created, with an unused table, and deleted with its last port.

use std::collections::BTreeSet;

use linkspan_attach::parking::Parking;
use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::stored::Stored;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::conf::Plan;
use crate::refuge::Refuge;

/// Maximum number of conflicts with other ADDs.
const ATTEMPTS: usize = 10;
/// Tables that every namespace has: default, main and local.
const RESERVED: [u32; 3] = [253, 254, 255];

/// An existing VRF.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) link: Link,
    pub(crate) table: u32,
}

impl Device {
    /// Where routes of an attachment are while its interface changes the VRF.
    pub(crate) fn refuge<'a>(&'a self, side: &'a Side, parking: Parking) -> Refuge<'a> {
        Refuge {
            side,
            vrf: &self.link,
            table: self.table,
            parking,
        }
    }
}

/// The VRF with that name; `None` if the link is of another kind.
pub(crate) fn find(side: &Side, name: &str) -> Result<Option<Device>> {
    let link = side.find(name)?;
    Ok(link.and_then(|link| match link.kind {
        Kind::Vrf { table } => Some(Device { link, table }),
        _ => None,
    }))
}

/// The VRF of the plan, created if missing. Concurrent ADDs share it.
pub(crate) fn ensure(
    side: &Side,
    plan: &Plan,
    (netns, parking): (&NetnsPath, Parking),
    undo: &mut Undo,
) -> Result<Device> {
    let name = plan.name.as_str();
    for _attempt in 0..ATTEMPTS {
        if let Some(present) = present(side, plan)? {
            return Ok(present);
        }
        let table = match plan.table {
            Some(table) => table,
            None => free_table(side)?,
        };
        let made = side.rtnl.create(&LinkSpec::new(name, Kind::Vrf { table }));
        match made {
            Err(err) if err.is(Errno::EEXIST) => continue,
            made => {
                let (netns, name) = (netns.clone(), name.to_owned());
                undo.push_unless_refused(made.map_err(kernel), "delete the VRF", move || {
                    Side::unless_gone(&netns, |side| match find(side, &name)? {
                        Some(device) => delete_if_unused(side, &device, parking),
                        None => Ok(()),
                    })
                })?;
            }
        }
        let link = side.link(name)?;
        // If two ADDs took the same table at once, the later one sees the other and gives way.
        if plan.table.is_none() && is_taken(side, &link, table)? {
            link.delete().map_err(kernel)?;
            continue;
        }
        link.set_up().map_err(kernel)?;
        return Ok(Device { link, table });
    }
    let text = format!("other plugins took the VRF {name} or its table {ATTEMPTS} times");
    Err(Failure::new(ErrorCode::TRY_AGAIN_LATER, text).hint("try again"))
}

/// The existing VRF, if the link is one and has the wanted table.
fn present(side: &Side, plan: &Plan) -> Result<Option<Device>> {
    let name = plan.name.as_str();
    let Some(link) = side.find(name)? else {
        return Ok(None);
    };
    let refuse = |text: String| Err(Failure::new(ErrorCode::INTERNAL, text));
    let Kind::Vrf { table } = link.kind else {
        return refuse(format!("Netlink {name} is not a VRF"));
    };
    if plan.table.is_some_and(|wanted| wanted != table) {
        return refuse(format!(
            "VRF {name} already exist with different routing table {table}"
        ));
    }
    // A killed ADD may have created it without setting it up.
    if !link.up {
        link.set_up().map_err(kernel)?;
    }
    Ok(Some(Device { link, table }))
}

/// The first table without a VRF, a rule or a route.
fn free_table(side: &Side) -> Result<u32> {
    let mut taken: BTreeSet<u32> = RESERVED.into();
    for link in side.rtnl.links().map_err(kernel)? {
        if let Kind::Vrf { table } = link.kind {
            taken.insert(table);
        }
    }
    for family in Family::BOTH {
        let routes = side.rtnl.stored_routes(family).map_err(kernel)?;
        taken.extend(routes.iter().map(Stored::table));
        match side.rtnl.rules(family) {
            Err(err) if family == Family::V6 && err.is(Errno::EOPNOTSUPP) => {}
            rules => taken.extend(rules.map_err(kernel)?.iter().filter_map(|rule| rule.table)),
        }
    }
    let free = (1..u32::MAX).find(|table| !taken.contains(table));
    free.ok_or_else(|| Failure::new(ErrorCode::INTERNAL, "no routing table is free"))
}

fn is_taken(side: &Side, own: &Link, table: u32) -> Result<bool> {
    let links = side.rtnl.links().map_err(kernel)?;
    let is_earlier = |link: &Link| link.kind == Kind::Vrf { table } && link.index < own.index;
    Ok(links.iter().any(is_earlier))
}

/// Deletes the VRF, unless it has a port.
pub(crate) fn delete_if_empty(side: &Side, device: &Device) -> Result<()> {
    let links = side.rtnl.links().map_err(kernel)?;
    let index = Some(device.link.index);
    if links.iter().any(|link| link.controller == index) {
        return Ok(());
    }
    device.link.delete().map_err(kernel)
}

/// The same, unless routes of the attachment found no way back and wait for DEL.
fn delete_if_unused(side: &Side, device: &Device, parking: Parking) -> Result<()> {
    if device.refuge(side, parking).copies()?.is_empty() {
        return delete_if_empty(side, device);
    }
    Ok(())
}

/// The refusal of an interface that is the port of another link.
pub(crate) fn has_another(side: &Side, ifname: &str, index: u32) -> Failure {
    let controller = side.rtnl.link_by_index(index).ok().flatten();
    let name = controller.map_or_else(|| index.to_string(), |link| link.name);
    let text = format!("interface {ifname} has already a master set: {name}");
    Failure::new(ErrorCode::INTERNAL, text).hint("remove it from that one first")
}
