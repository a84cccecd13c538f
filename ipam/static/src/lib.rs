//! The `static` IPAM plugin: gives the addresses that the configuration, or the caller, names.
//!
//! It owns nothing: no file, no link, no namespace. So DEL and GC have nothing to do.

mod address;
mod conf;

use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo,
};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, IpConfig};

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Static>();

#[derive(Debug)]
struct Static;

impl Plugin for Static {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["static"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(call, conf)
    }

    fn add(_call: &AddCall, plan: Plan, _undo: &mut Undo) -> Result<AddResult> {
        Ok(AddResult {
            ips: plan.ips,
            routes: plan.routes,
            dns: plan.dns,
            ..AddResult::default()
        })
    }

    fn del(_call: &DelCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    /// An address that `prevResult` lacks is not a failure: the list may have been edited since ADD, and the interface
    /// plugin compares `prevResult` with the kernel.
    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let previous = call.netconf.prev_result()?;
        let previous = previous.ok_or_else(|| Failure::config("Required prevResult missing"))?;
        let ifname = &call.attachment.ifname;
        match plan.ips.iter().find(|ip| !agrees(ip, &previous)) {
            Some(ip) => Err(mismatch(ip, ifname.as_str())),
            None => Ok(()),
        }
    }

    fn gc(_call: &GcCall, _conf: Conf) -> Result<()> {
        Ok(())
    }

    /// Succeeds, because the plan has refused every configuration that ADD would refuse.
    fn status(_call: &StatusCall, _plan: Plan) -> Result<()> {
        Ok(())
    }
}

/// Whether the result has no other gateway for the address. A later plugin may have removed the gateway from the result, as
/// `flushgateway` of `route-override` does.
fn agrees(ip: &IpConfig, result: &AddResult) -> bool {
    let there = result.ips.iter();
    let mut same = there.filter(|there| there.address.ip() == ip.address.ip());
    ip.gateway.is_none() || same.all(|there| there.gateway.is_none() || there.gateway == ip.gateway)
}

fn mismatch(ip: &IpConfig, ifname: &str) -> Failure {
    let address = ip.address.ip();
    let text = format!("static: Failed to match addr {address} on interface {ifname}");
    Failure::new(ErrorCode::INTERNAL, text)
        .hint("the gateway of the address is another one than at ADD; attach the container anew")
}
