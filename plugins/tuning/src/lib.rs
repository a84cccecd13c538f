//! The `tuning` plugin: sysctls of a container, and settings of its interface. A chained plugin.
//!
//! It owns a backup of the interface's settings for each attachment. DEL and GC put the settings back, also on a device
//! that is on the host again. Without keys it does nothing.

mod add;
mod backup;
mod check;
mod conf;
mod kept;
mod restore;

use linkspan_attach::Side;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Teardown, Undo,
};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan, data_dir};
use kept::{Kept, Store};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Tuning>();

#[derive(Debug)]
struct Tuning;

impl Plugin for Tuning {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["tuning"];
    const NEEDED: &'static [&'static str] = &["dataDir"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(call, conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let ifname = call.attachment.ifname.as_str();
        let mut result = call.netconf.prev_result()?.ok_or_else(|| {
            Failure::config("Required prevResult missing")
                .hint("put tuning after an interface plugin in the list")
        })?;
        if plan.is_empty() {
            return Ok(result);
        }
        plan.wishes.permit()?;
        let sandbox = Side::inside(&call.netns)?;
        let said = add::sysctls(&plan.wishes, &sandbox, &call.netns, undo)?;
        let subject = add::Subject {
            attachment: &call.attachment,
            network: &call.network,
            netns: &call.netns,
            dir: &plan.dir,
        };
        if !plan.tuned.is_empty() {
            subject.tune(&sandbox, plan.tuned, said, undo)?;
        } else if !said.is_empty() {
            subject.remember(said, undo)?;
        }
        for interface in &mut result.interfaces {
            if interface.name == ifname {
                if !plan.mac_text.is_empty() {
                    interface.mac.clone_from(&plan.mac_text);
                }
                let told = plan.tuned.mtu.filter(|_| interface.mtu > 0);
                interface.mtu = told.map_or(interface.mtu, i64::from);
            }
        }
        Ok(result)
    }

    /// Reads neither the keys of the link nor a previous result: the memory has ADD's changes.
    fn del(call: &DelCall, conf: Conf) -> Result<()> {
        let store = Store::new(&data_dir(&conf)?, &call.network, &call.attachment);
        let (netns, ifname) = (call.netns.as_ref(), call.attachment.ifname.as_str());
        let kept = store.memory();
        if kept != Kept::default() {
            restore::by_memory(&kept, netns, ifname)?;
        } else if let Some(before) = store.backup()? {
            restore::by_backup(before, netns, ifname)?;
        }
        store.forget()
    }

    fn check(call: &CheckCall, plan: Plan) -> Result<()> {
        let store = Store::new(&plan.dir, &call.network, &call.attachment);
        let ifname = call.attachment.ifname.as_str();
        linkspan_plugin::check::promised(call)?;
        if plan.is_empty() {
            return Ok(());
        }
        let sandbox = Side::inside(&call.netns)?;
        check::sysctls(&sandbox, &plan.wishes, &store.memory().said)?;
        check::link(&sandbox, ifname, plan.tuned)
    }

    fn gc(call: &GcCall, conf: Conf) -> Result<()> {
        let dir = data_dir(&conf)?;
        let mut teardown = Teardown::default();
        for (network, attachment) in kept::remembered(&dir)? {
            if network == call.network && !call.valid_attachments.contains(&attachment) {
                teardown.run("put back the settings of a link", || {
                    restore::collect(&dir, &network, &attachment)
                });
            }
        }
        teardown.finish()
    }

    fn status(_call: &StatusCall, plan: Plan) -> Result<()> {
        if plan.is_empty() {
            return Ok(());
        }
        let permitted = plan.wishes.permit();
        permitted.map_err(|failure| failure.with_code(ErrorCode::NOT_AVAILABLE))?;
        require(&[Capability::NetAdmin, Capability::SysAdmin])
    }
}
