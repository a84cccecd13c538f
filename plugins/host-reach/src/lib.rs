//! The `host-reach` plugin: the host and the containers of macvlan and ipvlan reach each other. A chained plugin.
//!
//! The kernel hands no frame from a master to the links on it. So the host gets a link of its own on the master, which all
//! attachments there share, with a route for each address of a container. The container gets a route to an address that this
//! link alone has. An attachment owns its routes on both sides, and the link goes with the last of them.

mod conf;
mod kept;
mod pod;
mod reach;
mod shim;

use linkspan_attach::{Side, Sides};
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::promised;
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
    chained,
};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan, data_dir};
use kept::Store;
use pod::Pod;
use reach::Reach;

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<HostReach>();

#[derive(Debug)]
struct HostReach;

impl Plugin for HostReach {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["host-reach"];
    const NEEDED: &'static [&'static str] = &["dataDir"];

    fn plan(_call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let result = chained::previous(call)?;
        let sides = Sides::open(&call.netns)?;
        let pod = Pod::of(&sides, &call.netns, call.attachment.ifname.as_str())?;
        let reach = Reach {
            host: &sides.host,
            ips: reach::addresses(&result, &pod.link)?,
            pod: &pod,
            plan: &plan,
            store: Store::new(&plan.dir, &call.network, &call.attachment),
        };
        let through = reach.through()?;
        let end = reach.make(undo)?;
        pod.lead(end, &reach.ips, &through, undo)?;
        Ok(result)
    }

    /// Needs neither the namespace nor a previous result, but takes the addresses of that one where the memory is lost.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let store = Store::new(&data_dir(&conf)?, &call.network, &call.attachment);
        let ifname = call.attachment.ifname.as_str();
        let mut teardown = Teardown::default();
        if let Some(netns) = &call.netns {
            teardown.run("take the container's way to the host", || {
                Side::unless_gone(netns, |side| pod::unlead(side, netns, ifname))
            });
        }
        let told = call.netconf.prev_result().ok().flatten();
        teardown.run("take the host's way to the container", || {
            reach::release(&store, told.as_ref())
        });
        teardown.finish()
    }

    fn check(call: &CheckCall, _plan: Plan) -> Result<()> {
        let promised = promised(call)?;
        let sides = Sides::open(&call.netns)?;
        let pod = Pod::of(&sides, &call.netns, call.attachment.ifname.as_str())?;
        let ips = reach::addresses(&promised, &pod.link)?;
        let end = reach::verify(&sides.host, &pod, &ips)?;
        pod.verify(end, &ips)
    }

    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        reach::collect(call, &data_dir(&conf)?)
    }

    fn status(_call: &StatusCall, _plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])
    }
}
