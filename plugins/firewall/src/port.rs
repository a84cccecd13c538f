//! Ports of the bridge: in an isolated network, no port sends frames to another one.
//!
//! Packets between members of a bridge pass the packet filter only with bridge netfilter. So the ports themselves are
//! isolated. With bridge netfilter, a published port is translated on the bridge, and a frame to it would go between
//! two ports. If the port must stay reachable, the packet filter isolates instead of the ports.

use std::fs;
use std::io::ErrorKind;

use linkspan_attach::{Side, kernel};
use linkspan_netlink::link::Link;
use linkspan_plugin::check::same;
use linkspan_plugin::{Result, Undo};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::error::{ErrorCode, Failure};

use crate::claim::Member;
use crate::conf::Policy;

/// Isolates the port of the container's interface, if its bridge needs it.
pub(crate) fn isolate(
    netns: &NetnsPath,
    ifname: &str,
    member: &Member,
    undo: &mut Undo,
) -> Result<()> {
    if !is_needed(member)? {
        return Ok(());
    }
    let Some(port) = of_bridge(netns, ifname, &member.bridge)? else {
        return Ok(());
    };
    if port.isolated == Some(true) {
        return Ok(());
    }
    let index = port.index;
    undo.push("open the port of the bridge", move || {
        let port = Side::host()?.rtnl.link_by_index(index).map_err(kernel)?;
        port.map_or(Ok(()), |port| port.isolate_port(false).map_err(kernel))
    });
    port.isolate_port(true).map_err(kernel)
}

/// Verifies the port's isolation.
pub(crate) fn verify(netns: &NetnsPath, ifname: &str, member: &Member) -> Result<()> {
    if !is_needed(member)? {
        return Ok(());
    }
    let Some(port) = of_bridge(netns, ifname, &member.bridge)? else {
        return Ok(());
    };
    let word = |isolated: bool| if isolated { "isolated" } else { "open" };
    let what = format!("port {} of bridge {}", port.name, member.bridge);
    same(what, word(true), word(port.isolated == Some(true)))
}

/// The host's end of the container's interface; `None` if the container is gone, or its interface is of another kind.
pub(crate) fn host_end(netns: &NetnsPath, ifname: &str) -> Result<Option<Link>> {
    let Some(sandbox) = Side::sandbox(netns)? else {
        return Ok(None);
    };
    let end = sandbox.find(ifname)?.filter(|end| end.kind.is_pair());
    let Some((own, index)) = end.and_then(|end| Some((end.index, end.peer_index?))) else {
        return Ok(None);
    };
    let host = Side::host()?.rtnl.link_by_index(index).map_err(kernel)?;
    // A pair whose other end is elsewhere may have an index that is another link's here.
    Ok(host.filter(|host| host.kind.is_pair() && host.peer_index == Some(own)))
}

fn of_bridge(netns: &NetnsPath, ifname: &str, bridge: &str) -> Result<Option<Link>> {
    let Some(end) = host_end(netns, ifname)? else {
        return Ok(None);
    };
    let bridge = Side::host()?.rtnl.link_by_name(bridge).map_err(kernel)?;
    let index = bridge.map(|bridge| bridge.index);
    Ok(Some(end).filter(|end| index.is_some() && end.controller == index))
}

/// Returns whether the ports of the bridge are to be isolated.
pub(crate) fn is_needed(member: &Member) -> Result<bool> {
    let isolated = member.policy == Policy::Isolated;
    Ok(isolated && !(member.allow_published && has_bridge_netfilter()?))
}

/// Returns whether the packet filter sees bridged packets of both families.
fn has_bridge_netfilter() -> Result<bool> {
    for name in ["iptables", "ip6tables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        match fs::read_to_string(&path) {
            Ok(said) if said.trim() == "1" => {}
            Ok(_off) => return Ok(false),
            // The kernel module is not loaded.
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(false),
            Err(err) => {
                let what = format!("read {path}: {err}");
                return Err(Failure::new(ErrorCode::IO, what).hint("mount procfs for the plugin"));
            }
        }
    }
    Ok(true)
}
