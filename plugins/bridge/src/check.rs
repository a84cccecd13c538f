//! CHECK: compares each property that ADD gave the attachment with the kernel's state.

use linkspan_attach::pair::Pair;
use linkspan_attach::{Sides, kernel, verify};
use linkspan_filter::spoof;
use linkspan_netlink::link::Link;
use linkspan_plugin::check::{mismatch, promised, same};
use linkspan_plugin::{CheckCall, Result, delegate};
use linkspan_protocol::result::{AddResult, Interface};

use crate::conf::Plan;
use crate::guarded;

pub(crate) fn run(call: &CheckCall, plan: &Plan) -> Result<()> {
    let promised = promised(call)?;
    if plan.layer3 {
        delegate::check(call)?;
    }
    let sides = Sides::open(&call.netns)?;
    let bridge = bridge(&sides, plan, &promised)?;
    let pair = pair(call, &sides, &promised)?;
    let (container, port) = (&pair.sandbox, &pair.host);
    if !plan.leave_down {
        verify::up(&sides.sandbox, container)?;
    }
    verify::mtu(&sides.sandbox, container, plan.mtu, &promised)?;
    verify::up(&sides.host, port)?;
    verify::mtu(&sides.host, port, plan.mtu, &promised)?;
    settings(port, &bridge, plan)?;
    plan.vlans.verify(port, &bridge)?;
    verify::addresses(&sides.sandbox, container, &promised)?;
    verify::routes(&sides.sandbox, &promised)?;
    if plan.is_gateway {
        let own = vlan_gateway(&sides, plan, &bridge)?;
        let at = own.as_ref().unwrap_or(&bridge);
        for ip in verify::addresses_of(&promised, container) {
            if let Some(gateway) = ip.gateway {
                verify::gateway(&sides.host, at, gateway, ip.address.prefix())?;
            }
        }
    }
    if let Some(masquerade) = plan.masquerade.as_ref().filter(|_| plan.layer3) {
        masquerade.verify(call.into(), &plan.ingress(), &promised)?;
    }
    if plan.spoof_check {
        spoof::verify(call.into(), guarded(&pair))?;
    }
    Ok(())
}

/// Verifies the host's interface in the VLAN. If it is a pair, its other end is in the VLAN, too.
fn vlan_gateway(sides: &Sides, plan: &Plan, bridge: &Link) -> Result<Option<Link>> {
    let Some(name) = plan.vlan_gateway() else {
        return Ok(None);
    };
    let found = sides.host.find(&name)?;
    let own = found.ok_or_else(|| mismatch(format!("gateway {name:?}"), "a link", "none"))?;
    verify::up(&sides.host, &own)?;
    if let Some(index) = own.peer_index.filter(|_| own.kind == "veth") {
        let port = sides.host.rtnl.link_by_index(index).map_err(kernel)?;
        if let Some(port) = port.filter(|port| port.controller == Some(bridge.index)) {
            verify::up(&sides.host, &port)?;
            plan.vlans.of_gateway().verify(&port, bridge)?;
        }
    }
    Ok(Some(own))
}

/// Verifies both ends against the result.
pub(crate) fn pair(call: &CheckCall, sides: &Sides, promised: &AddResult) -> Result<Pair> {
    let sandbox = verify::container(call, &sides.sandbox, promised, "veth")?;
    let host = verify::host_end(&sides.host, &sandbox, promised)?;
    Ok(Pair { host, sandbox })
}

/// Verifies the bridge: its MAC and MTU in the result, its state, and promiscuity if the configuration asks for it.
fn bridge(sides: &Sides, plan: &Plan, promised: &AddResult) -> Result<Link> {
    let wanted = |item: &&Interface| item.name == plan.bridge && item.sandbox.is_empty();
    let promised = promised
        .interfaces
        .iter()
        .find(wanted)
        .ok_or_else(|| mismatch("prevResult", &format!("bridge {:?}", plan.bridge), "none"))?;
    let bridge = verify::interface(&sides.host, promised, "bridge")?;
    verify::up(&sides.host, &bridge)?;
    if plan.promiscuous && bridge.promiscuity == 0 {
        let failure = mismatch(&plan.bridge, "promiscuous", "not promiscuous");
        return Err(failure.hint(format!("run ip link set {} promisc on", plan.bridge)));
    }
    Ok(bridge)
}

/// Verifies that the host's end is a port of the bridge, with the flags of the configuration. A kernel that cannot
/// isolate ports does not report isolation.
fn settings(port: &Link, bridge: &Link, plan: &Plan) -> Result<()> {
    if port.controller != Some(bridge.index) {
        let expected = format!("a port of {}", bridge.name);
        let failure = mismatch(&port.name, &expected, "not attached to it");
        let command = format!("run ip link set {} master {}", port.name, bridge.name);
        return Err(failure.hint(command));
    }
    for (flag, expected, found) in [
        ("hairpin mode", plan.hairpin, port.hairpin),
        // The plugin firewall may have isolated the port, too.
        (
            "isolation",
            plan.isolated,
            port.isolated.map(|now| now && plan.isolated),
        ),
    ] {
        let word = |on| if on { "on" } else { "off" };
        let what = format!("{flag} of port {:?}", port.name);
        same(what, word(expected), word(found.unwrap_or(false)))?;
    }
    Ok(())
}
