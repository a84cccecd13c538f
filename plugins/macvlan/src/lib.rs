//! The `macvlan` plugin: an interface of the container with a MAC address of its own on an interface of the host.
//!
//! An attachment owns its interface, which goes with the container's namespace, and its IPAM lease. The master is not
//! changed.

mod conf;

use linkspan_attach::child::{self, Addresses, Setup};
use linkspan_attach::wishes::Wishes;
use linkspan_attach::{Sides, end, parent, siblings};
use linkspan_netlink::link::{Kind, Link, Macvlan, MacvlanMode};
use linkspan_plugin::check::same;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<MacvlanPlugin>();

#[derive(Debug)]
struct MacvlanPlugin;

impl Plugin for MacvlanPlugin {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["macvlan"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, &call.args, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let wishes = Wishes::of_interface(&plan.sysctl, call.attachment.ifname.as_str())?;
        let sides = Sides::open(&call.netns)?;
        let parent = plan.parent.find(call, &sides)?;
        let request = end::Request {
            kind: plan.kind(),
            parent: Some(&parent),
            mtu: parent::mtu(plan.mtu, &parent)?,
            mac: plan.mac,
        };
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let owner = call.owner();
        let blamed = |failure, is_in_the_way: &dyn Fn(&Macvlan, &Link) -> bool| {
            siblings::blamed(failure, &sides, &parent, &owner, |other| {
                match &other.kind {
                    Kind::Macvlan(macvlan) => is_in_the_way(macvlan, other),
                    _ => false,
                }
            })
        };
        let link = end::create(call, &sides.sandbox, &request, undo).map_err(|failure| {
            let alone = MacvlanMode::Passthru;
            let excludes = |other: &Macvlan| alone == other.mode || alone == plan.macvlan.mode;
            blamed(failure, &|other, _| excludes(other))
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
        let mac = link.mac;
        let run = setup.run(call, link, undo);
        run.map_err(|failure| blamed(failure, &|_, other| other.mac == mac))
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        interface::detach(call, Ipam::Optional, |teardown| {
            teardown.run("delete the interface", || end::delete(call));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let link = child::check(call, &plan.kind(), &plan.parent, plan.mtu)?;
        if let Kind::Macvlan(found) = &link.kind {
            let what = format!("mode of {:?}", link.name);
            same(what, plan.macvlan.mode.name(), found.mode.name())?;
        }
        Ok(())
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
