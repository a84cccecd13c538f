//! The `ipvlan` plugin: an interface of the container that shares the MAC address of an interface of the host.
//!
//! An attachment owns its interface, which goes with the container's namespace, and its IPAM lease. The master is not
//! changed. The kernel delivers packets by their address, so an address is on one interface of a master only.

mod conf;

use linkspan_attach::child::{self, Addresses, Setup};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Sides, creation, end, parent, siblings};
use linkspan_netlink::link::{Kind, Link};
use linkspan_plugin::check::same;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
    warn,
};
use linkspan_protocol::error::Failure;
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<IpvlanPlugin>();

#[derive(Debug)]
struct IpvlanPlugin;

impl Plugin for IpvlanPlugin {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["ipvlan"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wishes = Wishes::of_interface(&plan.sysctl, call.attachment.ifname.as_str())?;
        let addresses = addresses(call, &plan)?;
        let sides = Sides::open(&call.netns)?;
        let (place, parent) = plan.parent.find_with_side(call, &sides)?;
        let request = end::Request {
            kind: plan.kind(),
            parent: Some(&parent),
            mtu: mtu(&plan, &parent)?,
            mac: None,
        };
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let link = end::create(call, &sides.sandbox, &request, undo)?;
        let setup = Setup {
            sides: &sides,
            addresses,
            mtu: request.mtu,
            dad: plan.dad,
            conflicts: plan.conflicts.over_parent(place, &parent),
            wishes: &wishes,
            mac_by_address: false,
        };
        setup.run(call, link, undo).map_err(|failure| {
            let text = failure.message();
            siblings::blamed(failure, &sides, &parent, &call.owner(), |other| {
                other.kind == "ipvlan" && has_address_of(other, &text)
            })
        })
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        interface::detach(call, Ipam::Optional, |teardown| {
            teardown.run("delete the interface", || end::delete(call));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let link = child::check(call, &plan.kind(), &plan.parent, plan.mtu)?;
        if let Kind::Ipvlan(found) = &link.kind {
            let what = format!("mode of {:?}", link.name);
            same(what, plan.ipvlan.mode.name(), found.mode.name())?;
        }
        Ok(())
    }

    /// The interfaces go with their namespaces.
    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        interface::collect(call, Ipam::Optional, || Ok(()), |_| {})
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        child::status(call, &plan.kind(), &plan.parent, |parent| {
            mtu(&plan, parent).map(drop)
        })
    }
}

/// The addresses of IPAM, or else those of the previous result.
fn addresses(call: &AddCall, plan: &Plan) -> Result<Addresses> {
    if plan.layer3 {
        return Ok(Addresses::Ipam);
    }
    let mut previous = call.netconf.prev_result()?.unwrap_or_default();
    if previous.ips.is_empty() {
        return Err(Failure::config(
            "ipvlan has no addresses to give: there are neither ipam nor addresses in prevResult",
        )
        .hint("set \"ipam\", or chain the plugin after one whose result has addresses"));
    }
    for ip in &mut previous.ips {
        ip.interface = Some(0);
    }
    Ok(Addresses::Given(previous))
}

/// The wanted MTU. If the master cannot carry it, warns, unless the plan is strict.
fn mtu(plan: &Plan, parent: &Link) -> Result<Option<u32>> {
    if plan.strict_mtu {
        return parent::mtu(plan.mtu, parent);
    }
    let mtu = creation::mtu(plan.mtu)?;
    if let Some(more) = mtu.filter(|mtu| *mtu > parent.mtu) {
        let (name, most) = (&parent.name, parent.mtu);
        warn(&format!(
            "ipvlan: mtu {more} is more than the {most} of master {name}, which drops larger packets"
        ));
    }
    Ok(mtu)
}

/// Returns whether the kernel's refusal `text` names an address that `link` has.
fn has_address_of(link: &Link, text: &str) -> bool {
    let addresses = link.addrs(None).unwrap_or_default();
    let mut told = addresses
        .iter()
        .map(|addr| format!("add address {}/", addr.ip));
    told.any(|told| text.contains(&told))
}
