//! The `dummy` plugin: an interface of the container that drops its packets, for addresses that only the container
//! itself needs.
//!
//! An attachment owns its interface, which goes with the container's namespace, and its IPAM lease. It has no state on
//! the host.

mod conf;

use linkspan_attach::{Side, end, verify};
use linkspan_netlink::link::Kind;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Dummy>();

#[derive(Debug)]
struct Dummy;

impl Plugin for Dummy {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["dummy"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(&call.netconf, &conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let sandbox = Side::inside(&call.netns)?;
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let request = end::Request {
            kind: Kind::Dummy,
            parent: None,
            mtu: plan.mtu,
            mac: plan.mac,
        };
        let link = end::create(call, &sandbox, &request, undo)?;
        end::settle(call, &sandbox, &link, plan.mtu, undo)
    }

    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        interface::detach(call, Ipam::Optional, |teardown| {
            teardown.run("delete the interface", || end::delete(call));
        })
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        if plan.layer3 {
            delegate::check(call)?;
        }
        let sandbox = Side::inside(&call.netns)?;
        let link = verify::container(call, &sandbox, &promised, "dummy")?;
        verify::up(&sandbox, &link)?;
        verify::mtu(&sandbox, &link, plan.mtu, &promised)?;
        verify::addresses(&sandbox, &link, &promised)?;
        verify::routes(&sandbox, &promised)
    }

    /// The interfaces go with their namespaces.
    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        interface::collect(call, Ipam::Optional, || Ok(()), |_| {})
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        end::status(&Side::host()?, &Kind::Dummy)?;
        if plan.layer3 {
            delegate::status(call)?;
        }
        Ok(())
    }
}
