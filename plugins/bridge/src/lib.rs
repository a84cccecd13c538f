//! The `bridge` plugin: a veth pair from the container to a port of a bridge on the host.
//!
//! An attachment owns its veth pair and its IPAM lease. The bridge, its gateway addresses and forwarding are shared by
//! the attachments and stay. VLANs, masquerade and the MAC spoof check are not served yet, and refused.

mod conf;
mod gateway;

use linkspan_attach::veth::{self, Pair};
use linkspan_attach::{Side, Sides, addressing, bridge, forwarding, kernel, verify};
use linkspan_netlink::link::{Link, PortFlags};
use linkspan_plugin::{
    AddCall, CheckCall, DelCall, Entry, Plugin, Result, StatusCall, Teardown, Undo, delegate,
};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, Interface};

use conf::{Conf, Plan};

/// The plugin under its name.
pub static ENTRY: Entry = Entry::of::<Bridge>();

/// Where the container's end stands in `interfaces`.
const CONTAINER: i64 = 2;

#[derive(Debug)]
struct Bridge;

impl Plugin for Bridge {
    type Conf = Conf;
    const NAMES: &'static [&'static str] = &["bridge"];

    fn add(call: &AddCall, conf: Conf, undo: &mut Undo) -> Result<AddResult> {
        let plan = Plan::new(&call.netconf, &call.args, conf)?;
        let sides = Sides::open(&call.netns)?;
        let bridge = bridge::ensure(&sides.host, &plan.bridge, plan.mtu, plan.promiscuous)?;
        let request = veth::Request {
            ifname: &call.attachment.ifname,
            controller: Some(bridge.index),
            mtu: plan.mtu,
            mac: plan.mac,
        };
        let pair = veth::create(&sides, &request, undo)?;
        let mut watch = sides.host.watch()?;
        let flags = PortFlags {
            hairpin: plan.hairpin,
            isolated: plan.isolated,
        };
        bridge::start_port(&pair.host, flags)?;
        let mut result = AddResult {
            interfaces: interfaces(&bridge, &pair, &call.netns.to_string()),
            ..AddResult::default()
        };
        if plan.layer3 {
            configure(call, &plan, &sides, (&bridge, &pair), (&mut result, undo))?;
        } else if !plan.leave_down {
            pair.sandbox.set_up().map_err(kernel)?;
        }
        if !plan.leave_down {
            bridge::wait_for_port(&sides.host, &mut watch, &pair.host)?;
        }
        if call.netconf.dns.is_present() {
            result.dns = call.netconf.dns.clone().into_dns();
        }
        // A bridge without an address of its own may have taken on that of its new port.
        let bridge = sides.host.link(&plan.bridge)?;
        result.interfaces = interfaces(&bridge, &pair, &call.netns.to_string());
        Ok(result)
    }

    /// Needs no plan: what was attached under another configuration, or by another plugin, must come off too.
    fn del(call: &DelCall, _conf: Conf) -> Result<()> {
        let mut teardown = Teardown::default();
        teardown.run("delete the interface", || delete(call));
        if !call.netconf.ipam.kind.is_empty() {
            teardown.run("release addresses", || delegate::del(call));
        }
        teardown.finish()
    }

    fn check(call: &CheckCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(&call.netconf, &call.args, conf)?;
        let promised = call.netconf.prev_result()?.ok_or_else(|| {
            Failure::config("Required prevResult missing")
                .hint("the runtime must hand the result of ADD to CHECK")
        })?;
        if plan.layer3 {
            delegate::check(call)?;
        }
        let sides = Sides::open(&call.netns)?;
        let host = |interface: &&Interface| interface.sandbox.is_empty();
        let named = |name: &str| promised.interfaces.iter().find(|item| item.name == name);
        let bridge = named(&plan.bridge).filter(host).ok_or_else(|| {
            verify::mismatch("prevResult", &format!("bridge {:?}", plan.bridge), "none")
        })?;
        let bridge = verify::interface(&sides.host, bridge, "bridge")?;
        if plan.promiscuous && bridge.promiscuity == 0 {
            return Err(verify::mismatch(
                &plan.bridge,
                "promiscuous",
                "not promiscuous",
            ));
        }
        let (ifname, path) = (call.attachment.ifname.as_str(), call.netns.to_string());
        let mine = |item: &&Interface| item.name == ifname && item.sandbox == path;
        let container = promised.interfaces.iter().rfind(mine).ok_or_else(|| {
            verify::mismatch(
                "Sandbox in prevResult",
                &format!("{ifname} in configured netns {path}"),
                "none",
            )
        })?;
        let container = verify::interface(&sides.sandbox, container, "veth")?;
        check_port(&sides.host, &promised, (&bridge, &container))?;
        verify::addresses(&sides.sandbox, &container, &promised)?;
        verify::routes(&sides.sandbox, &promised)
    }

    fn status(call: &StatusCall, conf: Conf) -> Result<()> {
        let plan = Plan::new(&call.netconf, &call.args, conf)?;
        let taken = Side::host()?.find(&plan.bridge)?;
        if let Some(link) = taken.filter(|link| link.kind != "bridge") {
            let text = format!("{:?} already exists but is not a bridge", link.name);
            return Err(
                Failure::new(ErrorCode::NOT_AVAILABLE, text).hint("set \"bridge\" to another name")
            );
        }
        if plan.layer3 {
            delegate::status(call)?;
        }
        Ok(())
    }
}

/// Addresses of the container and gateways of the bridge.
fn configure(
    call: &AddCall,
    plan: &Plan,
    sides: &Sides,
    (bridge, pair): (&Link, &Pair),
    (result, undo): (&mut AddResult, &mut Undo),
) -> Result<()> {
    let lease = delegate::add(call, undo)?;
    if lease.ips.is_empty() {
        return Err(Failure::new(
            ErrorCode::INTERNAL,
            "IPAM plugin returned missing IP config",
        ));
    }
    result.ips = lease.ips;
    result.routes = lease.routes;
    result.dns = lease.dns;
    for ip in &mut result.ips {
        ip.interface = Some(CONTAINER);
    }
    let gateways = gateway::adopt(result, plan);
    addressing::apply(&sides.sandbox, &pair.sandbox, result, plan.dad)?;
    for gateway in gateways {
        bridge::ensure_address(bridge, gateway, plan.force_address)?;
        forwarding::enable(gateway.ip())?;
    }
    Ok(())
}

fn interfaces(bridge: &Link, pair: &Pair, sandbox: &str) -> Vec<Interface> {
    let interface = |link: &Link, sandbox: &str| Interface {
        name: link.name.clone(),
        mac: MacAddr(link.mac).to_string(),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    };
    vec![
        interface(bridge, ""),
        interface(&pair.host, ""),
        interface(&pair.sandbox, sandbox),
    ]
}

/// Deletes the container's end, and so the host's. A sandbox that is gone took both with it.
fn delete(call: &DelCall) -> Result<()> {
    let Some(path) = &call.netns else {
        return Ok(());
    };
    let Some(sandbox) = Side::sandbox(path)? else {
        return Ok(());
    };
    match sandbox.find(call.attachment.ifname.as_str())? {
        Some(link) => link.delete().map_err(kernel),
        None => Ok(()),
    }
}

/// One of the promised host interfaces is the container's other end, and a port of the bridge.
fn check_port(
    host: &Side,
    promised: &AddResult,
    (bridge, container): (&Link, &Link),
) -> Result<()> {
    for item in promised
        .interfaces
        .iter()
        .filter(|item| item.sandbox.is_empty())
    {
        let Some(link) = host.find(&item.name)? else {
            return Err(verify::mismatch(
                &item.name,
                "an interface on the host",
                "none",
            ));
        };
        let peers =
            link.peer_index == Some(container.index) && container.peer_index == Some(link.index);
        if link.kind == "veth" && peers && link.controller == Some(bridge.index) {
            return verify::hardware_address(&link, item);
        }
    }
    Err(verify::mismatch(
        format!("host end of {}", container.name),
        &format!("a veth that is a port of {}", bridge.name),
        "none",
    ))
}
