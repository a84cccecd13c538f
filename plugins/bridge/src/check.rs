//! CHECK: each property that ADD gave the attachment, compared with what is there.

use linkspan_attach::{Sides, verify};
use linkspan_netlink::link::Link;
use linkspan_plugin::check::{mismatch, promised, same};
use linkspan_plugin::{CheckCall, Result, delegate};
use linkspan_protocol::result::{AddResult, Interface};

use crate::conf::Plan;

pub(crate) fn run(call: &CheckCall, plan: &Plan) -> Result<()> {
    let promised = promised(call)?;
    if plan.layer3 {
        delegate::check(call)?;
    }
    let sides = Sides::open(&call.netns)?;
    let bridge = bridge(&sides, plan, &promised)?;
    let container = verify::container(call, &sides.sandbox, &promised, "veth")?;
    if !plan.leave_down {
        verify::up(&sides.sandbox, &container)?;
    }
    verify::mtu(&sides.sandbox, &container, plan.mtu, &promised)?;
    let port = verify::host_end(&sides.host, &container, &promised)?;
    verify::up(&sides.host, &port)?;
    verify::mtu(&sides.host, &port, plan.mtu, &promised)?;
    settings(&port, &bridge, plan)?;
    verify::addresses(&sides.sandbox, &container, &promised)?;
    verify::routes(&sides.sandbox, &promised)?;
    if plan.is_gateway {
        for ip in verify::addresses_of(&promised, &container) {
            if let Some(gateway) = ip.gateway {
                verify::gateway(&sides.host, &bridge, gateway, ip.address.prefix())?;
            }
        }
    }
    match plan.masquerade.as_ref().filter(|_| plan.layer3) {
        Some(masquerade) => masquerade.verify(call.into(), &plan.ingress(), &promised),
        None => Ok(()),
    }
}

/// Checks the bridge: its MAC and MTU in the result, its state, and promiscuity where the configuration asks for it.
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

/// Checks that the host's end is a port of the bridge, with the flags of the configuration. A kernel that cannot
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
        // Where it is not asked for, the plugin firewall may.
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
