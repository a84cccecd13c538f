//! The `host-device` plugin: lends a device of the host to a container, and takes it back.
//!
//! An attachment owns its IPAM lease, and has the device until DEL. The alias of the device is its name on the host; how it
//! was there is remembered in a file. DEL, GC and the next ADD go by both, wherever the device is by then.

mod back;
mod conf;
mod kept;
mod lend;
mod network;
mod search;

use linkspan_attach::addressing::{self, Scheme};
use linkspan_attach::conflict::{ConflictCheck, announce};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Side, Sides, creation, kernel, verify};
use linkspan_netlink::link::Link;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, Interface};
use linkspan_protocol::version::SpecVersion;

use conf::{Conf, Plan};
use network::Network;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<HostDevice>();

/// The place of the device in `interfaces`.
const CONTAINER: i64 = 0;

#[derive(Debug)]
struct HostDevice;

impl Plugin for HostDevice {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["host-device"];
    const NEEDED: &'static [&'static str] = &["dataDir"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, &conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wanted = plan.wanted.as_ref().ok_or_else(conf::unnamed)?;
        let sides = Sides::open(&call.netns)?;
        let place = wanted.place()?;
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let mut result = AddResult::default();
        // Addresses come first, because a device that leaves the host loses those that it had there.
        let early = plan.layer3 && !delegate::asks_over_the_interface(call);
        let mut link = None;
        if !place.is_userspace {
            creation::is_free(&sides.sandbox, &call.attachment.ifname)?;
            is_apart(&sides)?;
            link = Some(lend::find(&sides.host, wanted, &plan.dir)?);
        }
        if early {
            result = interface::lease(call, CONTAINER, undo)?;
        }
        let lend = |link| lend::lend(call, &sides, (link, wanted, &plan), undo);
        let lent = link.map(lend).transpose()?;
        if plan.layer3 && !early {
            result = interface::lease(call, CONTAINER, undo)?;
        }
        let link = lent.as_ref().map(|(link, _)| link);
        result.interfaces = vec![told(call, link, &place.pci)];
        if let Some((link, network)) = &lent {
            let taken = Some(network).filter(|_| plan.fate.taken);
            configure(&sides.sandbox, link, (taken, plan.conflicts), &mut result)?;
        }
        interface::resolve_names(call, &mut result);
        Ok(result)
    }

    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let dir = conf::data_dir(&conf)?;
        interface::detach(call, Ipam::Optional, |teardown| {
            teardown.run("take the device back", || back::take_back(call, &dir));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let wanted = plan.wanted.ok_or_else(conf::unnamed)?;
        let promised = promised(call)?;
        if plan.layer3 {
            delegate::check(call)?;
        }
        if wanted.place()?.is_userspace {
            return Ok(());
        }
        let sandbox = Side::inside(&call.netns)?;
        let link = verify::device(call, &sandbox, &promised)?;
        verify::up(&sandbox, &link)?;
        verify::mtu(&sandbox, &link, None, &promised)?;
        verify::addresses(&sandbox, &link, &promised)?;
        verify::routes(&sandbox, &promised)
    }

    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        let dir = conf::data_dir(&conf)?;
        interface::collect(call, Ipam::Optional, || back::collect(call, &dir), |_| {})
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        // The end of a container brings the device back.
        if let Some(wanted) = plan.wanted.filter(|_| call.netconf.strict_status)
            && !wanted.place()?.is_userspace
        {
            lend::find(&Side::host()?, &wanted, &plan.dir)
                .map_err(|failure| failure.with_code(ErrorCode::NOT_AVAILABLE))?;
        }
        if plan.layer3 {
            delegate::status(call)?;
        }
        Ok(())
    }
}

/// Sets the device up with the addresses of the result, and with what it has of the host.
fn configure(
    sandbox: &Side,
    link: &Link,
    (taken, conflicts): (Option<&Network>, ConflictCheck),
    result: &mut AddResult,
) -> Result<()> {
    if let Some(network) = taken {
        network.add_addresses(CONTAINER, result);
    }
    if result.ips.is_empty() {
        link.set_up().map_err(kernel)?;
    } else {
        addressing::possible(sandbox, result, Some(link.mtu))?;
        let scheme = Scheme::Subnet { dad: true };
        let is_up = conflicts.over_device(sandbox, link, result)?;
        addressing::apply(sandbox, link, result, scheme, &Wishes::default())?;
        if is_up {
            announce(link)?;
        }
    }
    if let Some(network) = taken {
        network.add_routes(sandbox, link, result)?;
    }
    Ok(())
}

/// The device as the result tells it. One for a program has a name alone.
fn told(call: &AddCall, link: Option<&Link>, pci: &str) -> Interface {
    let sandbox = call.netns.to_string();
    let mut told = match link {
        Some(link) => creation::interface(link, &sandbox),
        None => Interface {
            name: call.attachment.ifname.to_string(),
            sandbox,
            ..Interface::default()
        },
    };
    if link.is_some_and(|link| link.mac == [0; 6]) {
        told.mac.clear();
    }
    if call.version >= SpecVersion::V1_1_0 {
        pci.clone_into(&mut told.pci_id);
    }
    told
}

/// Refuses a container that is in the host's own namespace.
fn is_apart(sides: &Sides) -> Result<()> {
    if back::is_apart(&sides.sandbox)? {
        return Ok(());
    }
    let text = format!("{} is the host's own network namespace", sides.sandbox);
    Err(Failure::new(ErrorCode::INVALID_NETNS, text)
        .hint("a device can be lent only to a container that has a namespace of its own"))
}
