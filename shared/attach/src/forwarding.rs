//! Routing between interfaces of the host.
//!
//! IPv4 forwards packets from an interface whose own switch is on (`ip_route_input_slow`). The host's switch is not
//! read on that path; writing it sets every interface, and the default of new ones. IPv6 forwards by the host's switch
//! alone (`ip6_forward`); an interface's own switch makes the host act as a router on that link.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route;
use linkspan_plugin::Result;
use linkspan_plugin::check::mismatch;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;

use crate::{Side, kernel, sysctl};

/// Lets the host route the family of `like`, from `link` and to it. `link` must be as read in this call.
///
/// The host's switch is written only if it is off: the write sets every interface of the host, and some may be off on
/// purpose. If it is on, only the switch of `link` is written.
pub fn enable(host: &Side, link: &Link, like: IpAddr) -> Result<()> {
    switch_on(host, link, Family::of(like))
        .map_err(|failure| failure.context("failed to enable forwarding"))
}

fn switch_on(host: &Side, link: &Link, family: Family) -> Result<()> {
    let whole = switch(family);
    let is_off = host.sysctl(|sysctls| sysctls.get(whole))? == "0";
    if !is_off && link.routing.forwards(family) {
        return Ok(());
    }
    if family == Family::V6 {
        keep_hearing_routers(host)?;
    }
    if is_off {
        return host.sysctl(|sysctls| sysctls.set(whole, "1"));
    }
    host.sysctl(|sysctls| sysctls.set(&own_switch(link, family), "1"))
}

/// Verifies that the host routes the family of `like`, from `link` and to it.
pub fn verify(host: &Side, link: &Link, like: IpAddr) -> Result<()> {
    let family = Family::of(like);
    let whole = switch(family);
    if host.sysctl(|sysctls| sysctls.get(whole))? == "0" {
        return Err(off(whole));
    }
    if !link.routing.forwards(family) {
        return Err(off(&own_switch(link, family)));
    }
    Ok(())
}

fn off(path: &Path) -> Failure {
    mismatch(path.display(), "1", "0").hint(format!("run {}", sysctl::command(path, "1")))
}

fn switch(family: Family) -> &'static Path {
    Path::new(family.pick(
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv6/conf/all/forwarding",
    ))
}

/// The switch of one interface.
pub fn own_switch(link: &Link, family: Family) -> PathBuf {
    let family = family.pick("ipv4", "ipv6");
    sysctl::of_interface(family, &link.name, "forwarding")
}

/// Returns whether the host routes a family. A kernel without IPv6 does not.
pub fn is_on(host: &Side, family: Family) -> Result<bool> {
    let path = switch(family);
    let told = host.sysctl(|sysctls| sysctls.known(path))?;
    Ok(told.is_some_and(|value| value != "0"))
}

/// The host's uplinks (interfaces of routes to elsewhere) that do not forward IPv4. Empty where the host does not
/// forward yet, since the first pod then switches every interface on.
pub fn idle_uplinks(host: &Side) -> Result<Vec<Link>> {
    if !is_on(host, Family::V4)? {
        return Ok(Vec::new());
    }
    let routes = host.rtnl.routes(Family::V4).map_err(kernel)?;
    let mut indexes: Vec<u32> = routes
        .iter()
        .filter(|route| route.gw.is_some() || route.dst.1 == 0)
        .filter_map(|route| route.oif)
        .collect();
    indexes.sort_unstable();
    indexes.dedup();
    let mut idle = Vec::new();
    for index in indexes {
        let link = host.rtnl.link_by_index(index).map_err(kernel)?;
        idle.extend(link.filter(|link| !link.routing.forwards(Family::V4)));
    }
    Ok(idle)
}

/// Keeps interfaces listening to router advertisements that listen now.
///
/// When forwarding is switched on, for the host or for any interface, the kernel deletes default routes from router
/// advertisements on interfaces with `accept_ra` 1 (`rt6_purge_dflt_routers`). A forwarding interface also ignores
/// advertisements from then on. With `accept_ra` 2 the kernel does neither.
fn keep_hearing_routers(host: &Side) -> Result<()> {
    let routes = host.rtnl.routes(Family::V6).map_err(kernel)?;
    for link in host.rtnl.links().map_err(kernel)? {
        let by_router = |route: &Route| route.advertised && route.oif == Some(link.index);
        let heard_router = link.routing.heard_router || routes.iter().any(by_router);
        let may_live_on_it = heard_router || is_hardware(&link.name, link.kind.as_str());
        if link.routing.accept_ra == 1 && may_live_on_it {
            let key = sysctl::of_interface("ipv6", &link.name, "accept_ra");
            host.sysctl(|sysctls| sysctls.set_if_known(&key, "2"))?;
        }
    }
    Ok(())
}

/// Returns whether the link is hardware, which may have a router that is still silent. Links of other kinds, such as a
/// container engine's bridge, need proof of a router: theirs may be a container that plays one.
fn is_hardware(name: &str, kind: &str) -> bool {
    kind.is_empty() && name != "lo"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_is_of_no_kind_and_not_the_loopback_interface() {
        let links = [
            ("eth0", ""),
            ("lo", ""),
            ("docker0", "bridge"),
            ("wg0", "wireguard"),
        ];
        let hardware = links.map(|(name, kind)| is_hardware(name, kind));
        assert_eq!(hardware, [true, false, false, false]);
    }
}
