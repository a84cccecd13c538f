//! The bridge that has the host ends as ports. Many attachments share the bridge, and it outlives them.

use std::net::IpAddr;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, PortFlags};
use linkspan_netlink::route::Route;
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::addr::{Cidr, MacAddr};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::creation::{random, uncreated};
use crate::{Side, kernel};

/// The number of ports that a bridge can have, counted from 1 (`BR_MAX_PORTS` of `net/bridge/br_private.h`).
const PORTS: usize = 1023;

/// The wanted bridge.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its name.
    pub name: &'a str,
    /// MTU of a new one.
    pub mtu: Option<u32>,
    /// Whether it receives every frame.
    pub promiscuous: bool,
    /// The wanted VLAN filtering.
    pub filtering: VlanFiltering,
}

/// The VLAN filtering that a configuration wants of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VlanFiltering {
    /// Any.
    Any,
    /// A new bridge filters. An existing one stays as it is.
    Preferred,
    /// A new bridge filters. An existing one that does not is refused.
    Needed,
    /// A new bridge filters. An existing one is switched to filtering.
    Ensured,
}

/// Finds or creates the bridge and brings it up. Many processes may do so at once.
pub fn ensure(host: &Side, request: Request<'_>) -> Result<Link> {
    let name = request.name;
    let mut bridge = match host.find(name)? {
        Some(link) => link,
        None => create(host, request)?,
    };
    is_bridge(&bridge)?;
    can_filter(&bridge, request.filtering)?;
    if let Some(filtering) = &mut bridge.filtering
        && request.filtering == VlanFiltering::Ensured
        && !filtering.on
    {
        filtering.on = true;
        bridge.filter_vlans().map_err(kernel)?;
    }
    refuse_routers(host, &bridge)?;
    if request.promiscuous {
        bridge.receive_all(true).map_err(kernel)?;
    }
    if !bridge.up {
        bridge.set_up().map_err(kernel)?;
    }
    Ok(bridge)
}

/// Returns code 50 if no attachment could get a port. With `strict`, full bridges count, too, although the next DEL
/// frees a port. Creates nothing.
pub fn status(host: &Side, name: &str, filtering: VlanFiltering, strict: bool) -> Result<()> {
    let Some(bridge) = host.find(name)? else {
        return Ok(());
    };
    let unavailable = |failure: Failure| failure.with_code(ErrorCode::NOT_AVAILABLE);
    is_bridge(&bridge).map_err(unavailable)?;
    can_filter(&bridge, filtering).map_err(unavailable)?;
    if !strict {
        return Ok(());
    }
    let links = host.rtnl.links().map_err(kernel)?;
    let ports = links
        .iter()
        .filter(|link| link.controller == Some(bridge.index));
    if ports.count() < PORTS {
        return Ok(());
    }
    Err(unavailable(full(&bridge)))
}

/// The failure for a bridge without a free port.
pub fn full(bridge: &Link) -> Failure {
    let name = &bridge.name;
    Failure::new(
        ErrorCode::INTERNAL,
        format!("bridge {name} has {PORTS} of {PORTS} ports"),
    )
    .hint(
        "set \"bridge\" to another name for some of the pods, or use ptp, which has no such limit",
    )
}

fn is_bridge(link: &Link) -> Result<()> {
    let kind = match link.kind.as_str() {
        "bridge" => return Ok(()),
        "" => "a device of no kind",
        kind => kind,
    };
    let name = &link.name;
    Err(Failure::config(format!(
        "{name:?} already exists but is not a bridge (it is {kind})"
    ))
    .hint("set \"bridge\" to another name"))
}

/// Refuses a bridge that cannot filter VLANs as wanted.
fn can_filter(bridge: &Link, asked: VlanFiltering) -> Result<()> {
    let name = &bridge.name;
    match (asked, bridge.filtering) {
        (VlanFiltering::Any, _) => Ok(()),
        (_, None) => Err(without_vlans(name)),
        (VlanFiltering::Needed, Some(filtering)) if !filtering.on => Err(Failure::config(format!(
            "bridge {name:?} does not filter VLANs, which \"strictVlan\" asks for"
        ))
        .hint(format!(
            "set \"ensureVlanFiltering\", or switch it on: ip link set {name} type bridge vlan_filtering 1"
        ))),
        _ => Ok(()),
    }
}

fn without_vlans(name: &str) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("bridge {name:?}: this kernel has no VLANs for bridges"),
    )
    .hint("use a kernel with CONFIG_BRIDGE_VLAN_FILTERING, or remove \"vlan\" and \"vlanTrunk\" from the configuration")
}

/// Sets a hardware address at creation, which stays. Otherwise the bridge would follow the lowest one of its ports.
fn create(host: &Side, request: Request<'_>) -> Result<Link> {
    let Request { name, mtu, .. } = request;
    let filters_vlans = request.filtering != VlanFiltering::Any;
    let made = host.rtnl.create(&LinkSpec {
        mac: Some(MacAddr::local(random()).0),
        mtu,
        filters_vlans,
        ..LinkSpec::new(name, Kind::Bridge)
    });
    match made {
        Err(err)
            if filters_vlans
                && err.is(Errno::EOPNOTSUPP)
                && host.rtnl.knows(&Kind::Bridge).map_err(kernel)? =>
        {
            Err(without_vlans(name))
        }
        Err(err) if !err.is(Errno::EEXIST) => Err(uncreated(err, mtu)),
        Ok(()) => {
            host.sysctl(|sysctls| sysctls.trust_link_local_address(name))?;
            host.link(name)
        }
        // Another ADD was faster.
        Err(_) => host.link(name),
    }
}

/// Verifies that `gateway`, one of the `gateways` that the same ADD adds, is an address of the bridge. `bridge` is its
/// state before anything was attached. The hardware address of a bridge that lacks the address may still follow its
/// ports, so it is pinned.
pub fn ensure_address(
    host: &Side,
    bridge: &Link,
    gateway: Cidr,
    (gateways, force): (&[Cidr], bool),
) -> Result<()> {
    let family = Family::of(gateway.ip());
    for addr in bridge.addrs(Some(family)).map_err(kernel)? {
        let Some(present) = Cidr::new(addr.ip, addr.prefix) else {
            continue;
        };
        if present == gateway {
            return Ok(());
        }
        if !conflicts(present, gateway) || gateways.contains(&present) {
            continue;
        }
        if !force {
            return Err(Failure::config(format!(
                "{:?} already has an IP address different from {gateway}: {present}",
                bridge.name
            ))
            .hint("set \"forceAddress\", or another \"bridge\""));
        }
        match bridge.del_addr(addr.ip, addr.prefix) {
            Err(err) if !err.is(Errno::EADDRNOTAVAIL) => return Err(kernel(err)),
            _ => {}
        }
    }
    refuse_rivals(host, bridge, gateway)?;
    let flags = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    match bridge.add_addr(gateway.ip(), gateway.prefix(), flags) {
        Err(err) if !err.is(Errno::EEXIST) => return Err(kernel(err)),
        _ => {}
    }
    // An unpinned bridge that lost its last port has no hardware address left to pin.
    let mac = match bridge.mac {
        [0, 0, 0, 0, 0, 0] => MacAddr::local(random()).0,
        mac => mac,
    };
    bridge.set_mac(mac).map_err(kernel)
}

/// Refuses a subnet that another link has already, wholly or in part: the kernel would send packets of pods there. A
/// route with a next hop may be intended, and a wider route does not win.
fn refuse_rivals(host: &Side, bridge: &Link, gateway: Cidr) -> Result<()> {
    let family = Family::of(gateway.ip());
    let is_rival = |route: &&Route| {
        let (ip, prefix) = route.dst;
        let within =
            gateway.contains(ip) && (gateway.prefix()..family.host_prefix()).contains(&prefix);
        within && route.gw.is_none() && route.oif.is_some_and(|oif| oif != bridge.index)
    };
    let routes = host.rtnl.routes(family).map_err(kernel)?;
    let Some(route) = routes.iter().find(is_rival) else {
        return Ok(());
    };
    let index = route.oif.unwrap_or_default();
    let other = host.rtnl.link_by_index(index).map_err(kernel)?;
    // Where the host is the sandbox too, the container's own end has its address by now.
    let rival = other.filter(|other| !is_behind(host, bridge, other));
    let Some(other) = rival else {
        return Ok(());
    };
    let (ip, prefix) = route.dst;
    let (name, mine) = (&other.name, &bridge.name);
    let told =
        format!("{mine} cannot have {gateway}: {ip}/{prefix} is a network of {name} already");
    Err(Failure::config(told).hint(format!(
        "give the network another subnet, or remove {name} if nobody needs it"
    )))
}

/// Returns whether the link is the other end of a port of the bridge.
fn is_behind(host: &Side, bridge: &Link, link: &Link) -> bool {
    let port = link.peer_index.filter(|_| link.peer_netns.is_none());
    let port = port.and_then(|index| host.rtnl.link_by_index(index).ok().flatten());
    port.is_some_and(|port| {
        port.controller == Some(bridge.index) && port.peer_index == Some(link.index)
    })
}

/// A bridge has one IPv4 address, and IPv6 addresses whose networks do not overlap.
fn conflicts(present: Cidr, wanted: Cidr) -> bool {
    match wanted.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(_) => present.contains(wanted.ip()) || wanted.contains(present.ip()),
    }
}

/// Looks at the link as it was read before it writes: on a bridge that others use already nothing is left to do.
fn refuse_routers(host: &Side, link: &Link) -> Result<()> {
    if link.routing.accept_ra == 0 {
        return Ok(());
    }
    host.sysctl(|sysctls| sysctls.refuse_router_advertisements(&link.name))
}

/// Sets a port's flags, tags it with its owner and brings it up.
pub fn start_port(host: &Side, port: &Link, flags: PortFlags, owner: &Owner) -> Result<()> {
    refuse_routers(host, port)?;
    port.tag_port(flags, &owner.line()).map_err(kernel)?;
    port.set_up().map_err(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_exclusive_and_ipv6_only_where_networks_overlap() {
        let cidr = |text| Cidr::parse(text).unwrap();
        assert!(conflicts(cidr("10.0.0.1/24"), cidr("10.9.0.1/24")));
        assert!(conflicts(cidr("fd00::1/64"), cidr("fd00::2/48")));
        assert!(conflicts(cidr("fd00::2/48"), cidr("fd00:0:0:1::1/64")));
        assert!(!conflicts(cidr("fe80::1/64"), cidr("fd00::1/64")));
    }
}
