//! The `tap` plugin: an interface of the container whose frames a program, such as a virtual machine, reads and
//! writes.
//!
//! An attachment owns its interface, which goes with the container's namespace, and its IPAM lease. It has no state on
//! the host.

mod conf;
mod make;

use linkspan_attach::{Side, end, kernel, verify};
use linkspan_netlink::link::{Kind, Link};
use linkspan_netlink::tap::Tap;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::{mismatch, promised, same};
use linkspan_plugin::interface::{self, Ipam};
use linkspan_plugin::{
    AddCall, Call, CheckCall, DelCall, Entry, GcCall, Plugin, Result, StatusCall, Undo, delegate,
};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use conf::{Conf, Plan};

pub use make::{CREATE, create_labelled};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<TapPlugin>();

#[derive(Debug)]
struct TapPlugin;

impl Plugin for TapPlugin {
    type Conf = Conf;
    type Plan = Plan;
    const NAMES: &'static [&'static str] = &["tap"];

    fn plan(call: &Call, conf: Conf) -> Result<Plan> {
        Plan::new(call, &conf)
    }

    fn add(call: &AddCall, plan: Plan, undo: &mut Undo) -> Result<AddResult> {
        let sandbox = Side::inside(&call.netns)?;
        if plan.layer3 {
            delegate::locate(call)?;
        }
        let bridge = bridge(&sandbox, &plan.bridge)?;
        let settings = (plan.mtu, plan.mac);
        let make = || make::create(&plan.tap, &plan.label, &sandbox);
        let link = end::create_tap(call, &sandbox, make, settings, undo)?;
        if let Some(bridge) = bridge {
            link.set_controller(Some(bridge.index)).map_err(kernel)?;
        }
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
        let link = verify::container(call, &sandbox, &promised, "tun")?;
        verify::up(&sandbox, &link)?;
        verify::mtu(&sandbox, &link, plan.mtu, &promised)?;
        is_as_asked(&link, &plan.tap)?;
        if let Some(bridge) = bridge(&sandbox, &plan.bridge)? {
            is_port_of(&link, &bridge)?;
        }
        verify::addresses(&sandbox, &link, &promised)?;
        verify::routes(&sandbox, &promised)
    }

    /// The interfaces go with their namespaces.
    fn gc(call: &GcCall, _conf: Conf) -> Result<()> {
        interface::collect(call, Ipam::Optional, || Ok(()), |_| {})
    }

    fn status(call: &StatusCall, plan: Plan) -> Result<()> {
        require(&[Capability::NetAdmin, Capability::SysAdmin])?;
        make::status(&plan.label)?;
        if plan.layer3 {
            delegate::status(call)?;
        }
        Ok(())
    }
}

/// The configured bridge of the container, if any.
fn bridge(sandbox: &Side, name: &str) -> Result<Option<Link>> {
    if name.is_empty() {
        return Ok(None);
    }
    let found = sandbox.find(name)?.filter(|link| link.kind == Kind::Bridge);
    let missing = || {
        let text = format!("failed to get bridge {name}: no bridge of that name in {sandbox}");
        Failure::new(ErrorCode::INTERNAL, text)
            .hint("the bridge must be in the container: put a plugin that makes it before tap")
    };
    found.map(Some).ok_or_else(missing)
}

/// Verifies owner, queues and frame format of the device.
fn is_as_asked(link: &Link, tap: &Tap) -> Result<()> {
    let Kind::Tun(found) = &link.kind else {
        return Ok(());
    };
    let number = |id: Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let of = |what: &str| format!("{what} of {:?}", link.name);
    for (what, wanted, found) in [
        ("owner", number(tap.owner), number(found.owner)),
        ("group", number(tap.group), number(found.group)),
        (
            "multiQueue",
            switch(tap.has_many_queues),
            switch(found.has_many_queues),
        ),
        (
            "packetInfo",
            switch(tap.has_packet_info),
            switch(found.has_packet_info),
        ),
        (
            "vnetHdr",
            switch(tap.has_vnet_header),
            switch(found.has_vnet_header),
        ),
    ] {
        same(of(what), &wanted, &found)?;
    }
    Ok(())
}

fn is_port_of(link: &Link, bridge: &Link) -> Result<()> {
    if link.controller == Some(bridge.index) {
        return Ok(());
    }
    let what = format!("bridge of {:?}", link.name);
    Err(mismatch(what, &bridge.name, "another, or none"))
}
