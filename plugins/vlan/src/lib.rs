//! The `vlan` plugin: an interface of the container for the frames of one VLAN on an interface of the host.
//!
//! An attachment owns its interface, which goes with the container's namespace, and its IPAM lease. The master is not
//! changed. The kernel allows each VLAN of a master only once, in whichever namespaces.

mod conf;

use linkspan_attach::child::{self, Addresses, Setup};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Sides, end, parent, siblings};
use linkspan_netlink::link::{Kind, Link, QosMap, Vlan, VlanProtocol};
use linkspan_plugin::check::same;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<VlanPlugin>();

#[derive(Debug)]
struct VlanPlugin;

impl Plugin for VlanPlugin {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["vlan"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wishes = Wishes::of_interface(&plan.sysctl, call.attachment.ifname.as_str())?;
        let sides = Sides::open(&call.netns)?;
        let parent = plan.parent.find(call, &sides)?;
        // Otherwise the interface could not be set up.
        parent::is_up(&parent)?;
        let request = end::Request {
            kind: plan.kind(),
            parent: Some(&parent),
            mtu: parent::mtu(plan.mtu, &parent)?,
            mac: plan.mac,
        };
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let link = end::create(call, &sides.sandbox, &request, undo).map_err(|failure| {
            siblings::blamed(failure, &sides, &parent, &call.owner(), |other| {
                has_tag(other, &plan.vlan)
            })
        })?;
        let setup = Setup {
            sides: &sides,
            addresses: Addresses::of_ipam(plan.layer3),
            mtu: request.mtu,
            dad: plan.dad,
            conflicts: plan.conflicts.over_link(&parent),
            wishes: &wishes,
            mac_by_address: plan.mac_by_address,
        };
        setup.run(call, link, undo)
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        interface::detach(call, Ipam::Optional, |teardown| {
            teardown.run("delete the interface", || end::delete(call));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let link = child::check(call, &plan.kind(), &plan.parent, plan.mtu)?;
        match &link.kind {
            Kind::Vlan(found) => compare(&link, &plan.vlan, found),
            _ => Ok(()),
        }
    }

    /// The interfaces go with their namespaces.
    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        interface::collect(call, Ipam::Optional, || Ok(()), |_| {})
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        child::status(call, &plan.kind(), &plan.parent, |parent| {
            parent::mtu(plan.mtu, parent).map(drop)
        })
    }
}

/// Returns whether a link is for frames with the same tag.
fn has_tag(link: &Link, wanted: &Vlan) -> bool {
    let tag = |vlan: &Vlan| (vlan.protocol, vlan.id);
    matches!(&link.kind, Kind::Vlan(vlan) if tag(vlan) == tag(wanted))
}

fn compare(link: &Link, asked: &Vlan, found: &Vlan) -> Result<()> {
    let name = &link.name;
    let what = format!("VLAN of {name:?}");
    same(what, &asked.id.to_string(), &found.id.to_string())?;
    let word = |protocol| match protocol {
        VlanProtocol::Q => "802.1Q",
        VlanProtocol::Ad => "802.1ad",
    };
    let what = format!("VLAN protocol of {name:?}");
    same(what, word(asked.protocol), word(found.protocol))?;
    for (what, asked, found) in [
        ("egressQosMap", &asked.egress, &found.egress),
        ("ingressQosMap", &asked.ingress, &found.ingress),
    ] {
        same(format!("{what} of {name:?}"), &told(asked), &told(found))?;
    }
    Ok(())
}

/// The mappings that have an effect, in order.
fn told(maps: &[QosMap]) -> String {
    let mut maps: Vec<&QosMap> = maps.iter().filter(|map| map.to != 0).collect();
    maps.sort_by_key(|map| map.from);
    let each: Vec<String> = maps
        .iter()
        .map(|map| format!("{}:{}", map.from, map.to))
        .collect();
    format!("[{}]", each.join(" "))
}
