//! Comparisons of the kernel's state with a previous result.

use std::net::IpAddr;

use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route as Present;
use linkspan_plugin::check::{mismatch, same};
use linkspan_plugin::{CheckCall, Result};
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, Interface, IpConfig};

use crate::sysctl::{self, Sysctls, of_interface};
use crate::{Side, forwarding, kernel};

/// For `map_err` on a difference that one command mends: adds the hint.
pub fn mended_by(side: &Side, command: &str) -> impl FnOnce(Failure) -> Failure {
    let hint = format!("run {}", side.command(command));
    move |failure| failure.hint(hint)
}

/// The same for an address that is missing. Where IPv6 is off on the link, that comes first: no address can be added then.
fn without_address(
    side: &Side,
    link: &Link,
    ip: IpAddr,
    prefix: u8,
) -> impl FnOnce(Failure) -> Failure {
    let name = link.name.clone();
    move |failure| {
        let key = of_interface("ipv6", &name, "disable_ipv6");
        let off = |sysctls: &Sysctls| sysctls.known(&key);
        let is_off = ip.is_ipv6() && matches!(side.sysctl(off), Ok(Some(value)) if value == "1");
        let command = if is_off {
            sysctl::command(&key, "0")
        } else {
            format!("ip addr add {ip}/{prefix} dev {name}")
        };
        mended_by(side, &command)(failure)
    }
}

/// Verifies that the link is set up.
pub fn up(side: &Side, link: &Link) -> Result<()> {
    let state = |up| if up { "up" } else { "down" };
    let what = format!("state of {:?} in {side}", link.name);
    let command = format!("ip link set {} up", link.name);
    same(what, state(true), state(link.up)).map_err(mended_by(side, &command))
}

/// Verifies the MTU against the result, or else against `asked`. A container's end is compared with the result alone: a
/// later plugin, such as tuning, may have changed the MTU, and not every plugin reports the change.
pub fn mtu(side: &Side, link: &Link, asked: Option<u32>, promised: &AddResult) -> Result<()> {
    let is_host = side.netns().is_none();
    let of_link = |item: &&Interface| item.name == link.name && item.sandbox.is_empty() == is_host;
    let told = promised.interfaces.iter().rfind(of_link);
    let told = told.map(|item| item.mtu).filter(|mtu| *mtu > 0);
    let asked = asked.filter(|_| is_host).map(i64::from);
    let Some(expected) = told.or(asked) else {
        return Ok(());
    };
    let what = format!("mtu of {:?} in {side}", link.name);
    let command = format!("ip link set {} mtu {expected}", link.name);
    same(what, &expected.to_string(), &link.mtu.to_string()).map_err(mended_by(side, &command))
}

/// Verifies the container's interface of the given kind against this attachment's result.
pub fn container(
    call: &CheckCall,
    sandbox: &Side,
    promised: &AddResult,
    kind: &str,
) -> Result<Link> {
    interface(sandbox, item(call, promised)?, kind)
}

/// The same for any kind.
pub fn device(call: &CheckCall, sandbox: &Side, promised: &AddResult) -> Result<Link> {
    let promised = item(call, promised)?;
    let link = there(sandbox, &promised.name)?;
    hardware_address(&link, promised)?;
    Ok(link)
}

/// The container's interface in the result.
fn item<'a>(call: &CheckCall, promised: &'a AddResult) -> Result<&'a Interface> {
    let (ifname, path) = (call.attachment.ifname.as_str(), call.netns.to_string());
    let mine = |item: &&Interface| item.name == ifname && item.sandbox == path;
    promised.interfaces.iter().rfind(mine).ok_or_else(|| {
        mismatch(
            "Sandbox in prevResult",
            &format!("{ifname} in configured netns {path}"),
            "none",
        )
    })
}

/// Finds the container's other end among the promised host interfaces.
pub fn host_end(host: &Side, container: &Link, promised: &AddResult) -> Result<Link> {
    let on_host = |item: &&Interface| item.sandbox.is_empty();
    for item in promised.interfaces.iter().filter(on_host) {
        let Some(link) = host.find(&item.name)? else {
            return Err(mismatch(&item.name, "an interface on the host", "none"));
        };
        let peers =
            link.peer_index == Some(container.index) && container.peer_index == Some(link.index);
        if link.kind == container.kind.as_str() && peers {
            hardware_address(&link, item)?;
            return Ok(link);
        }
    }
    Err(mismatch(
        format!("host end of {}", container.name),
        &format!("a {}", container.kind),
        "none",
    ))
}

/// Verifies that the interface of the result exists, with its kind and hardware address.
pub fn interface(side: &Side, promised: &Interface, kind: &str) -> Result<Link> {
    let name = &promised.name;
    let link = there(side, name)?;
    if link.kind != kind {
        return Err(mismatch(
            format!("kind of {name:?} in {side}"),
            kind,
            link.kind.as_str(),
        ));
    }
    hardware_address(&link, promised)?;
    Ok(link)
}

/// The link with that name. Fails if it is missing.
fn there(side: &Side, name: &str) -> Result<Link> {
    let found = side.find(name)?;
    found.ok_or_else(|| mismatch(format!("interface {name:?} in {side}"), "a link", "none"))
}

/// Verifies the link's hardware address, if the result has one.
pub fn hardware_address(link: &Link, promised: &Interface) -> Result<()> {
    let actual = linkspan_protocol::addr::MacAddr(link.mac).to_string();
    if promised.mac.is_empty() || promised.mac.eq_ignore_ascii_case(&actual) {
        return Ok(());
    }
    Err(mismatch(
        format!("hardware address of {:?}", link.name),
        &promised.mac,
        &actual,
    ))
}

/// Verifies that every address of the result is on `link`, and that its network is reachable without a router.
pub fn addresses(sandbox: &Side, link: &Link, result: &AddResult) -> Result<()> {
    let present = link.addrs(None).map_err(kernel)?;
    for ip in addresses_of(result, link) {
        let wanted = ip.address;
        if !present
            .iter()
            .any(|addr| (addr.ip, addr.prefix) == (wanted.ip(), wanted.prefix()))
        {
            let list: Vec<_> = present
                .iter()
                .map(|addr| format!("{}/{}", addr.ip, addr.prefix))
                .collect();
            let failure = mismatch(
                format!("addresses of {:?} in {sandbox}", link.name),
                &wanted.to_string(),
                &list.join(", "),
            );
            return Err(without_address(sandbox, link, wanted.ip(), wanted.prefix())(failure));
        }
        let host_only = wanted.prefix() == Family::of(wanted.ip()).host_prefix();
        let network = (wanted.network(), wanted.prefix());
        let connected = |route: &Present| route.dst == network;
        if !host_only && !tables(sandbox, wanted.ip())?.iter().any(connected) {
            return Err(mismatch(
                format!("route of {sandbox} to the network of {wanted}"),
                &format!("dev {}", link.name),
                "none",
            ));
        }
    }
    Ok(())
}

/// Verifies that `link` on the host has the address, and that the host forwards the family's packets for it.
pub fn gateway(host: &Side, link: &Link, ip: IpAddr, prefix: u8) -> Result<()> {
    address(link, ip, prefix).map_err(without_address(host, link, ip, prefix))?;
    forwarding::verify(host, link, ip)
}

/// Verifies that `link` on the host has the address.
fn address(link: &Link, ip: IpAddr, prefix: u8) -> Result<()> {
    let present = link.addrs(Some(Family::of(ip))).map_err(kernel)?;
    if present
        .iter()
        .any(|addr| (addr.ip, addr.prefix) == (ip, prefix))
    {
        return Ok(());
    }
    let list: Vec<_> = present
        .iter()
        .map(|addr| format!("{}/{}", addr.ip, addr.prefix))
        .collect();
    Err(mismatch(
        format!("addresses of {:?} on the host", link.name),
        &format!("{ip}/{prefix}"),
        &list.join(", "),
    ))
}

/// Verifies that packets from `side` to `ip` leave by `link`, whatever other routes exist.
pub fn route_by(side: &Side, link: &Link, ip: IpAddr) -> Result<()> {
    let lookup = side.rtnl.lookup(ip).map_err(kernel)?;
    let oif = lookup.and_then(|lookup| lookup.oif);
    if oif == Some(link.index) {
        return Ok(());
    }
    let found = match oif {
        Some(index) => side.rtnl.link_by_index(index).map_err(kernel)?,
        None => None,
    };
    let found = found.map_or("none".to_owned(), |link| format!("dev {}", link.name));
    let expected = format!("dev {}", link.name);
    Err(mismatch(
        format!("route to {ip} in {side}"),
        &expected,
        &found,
    ))
}

/// Verifies that every route of the result exists. A later plugin, such as sbr, may have moved it to another table.
pub fn routes(sandbox: &Side, result: &AddResult) -> Result<()> {
    for route in &result.routes {
        let dst = (route.dst.network(), route.dst.prefix());
        let candidates: Vec<_> = tables(sandbox, route.dst.ip())?
            .into_iter()
            .filter(|present| present.dst == dst)
            .collect();
        // A later plugin may have changed the next hop of a default route.
        let gateway = route.gw.filter(|_| !route.dst.is_default());
        let found = match gateway {
            Some(gw) => candidates.iter().any(|present| present.gw == Some(gw)),
            None => !candidates.is_empty(),
        };
        if !found {
            let via =
                |gw: Option<IpAddr>| gw.map_or("no gateway".to_owned(), |gw| format!("via {gw}"));
            let list: Vec<_> = candidates.iter().map(|present| via(present.gw)).collect();
            let actual = if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            };
            let failure = mismatch(
                format!("route to {} in {sandbox}", route.dst),
                &gateway.map_or("a route".to_owned(), |gw| via(Some(gw))),
                &actual,
            );
            let Some(gw) = route
                .gw
                .filter(|gw| Family::of(*gw) == Family::of(route.dst.ip()))
            else {
                return Err(failure);
            };
            let command = format!("ip route add {} via {gw}", route.dst);
            return Err(mended_by(sandbox, &command)(failure));
        }
    }
    Ok(())
}

/// The addresses of `link` in the result.
pub fn addresses_of<'a>(
    result: &'a AddResult,
    link: &'a Link,
) -> impl Iterator<Item = &'a IpConfig> {
    result.ips.iter().filter(|ip| {
        let interface = ip
            .interface
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| result.interfaces.get(index));
        interface.is_none_or(|item| item.name == link.name && !item.sandbox.is_empty())
    })
}

fn tables(sandbox: &Side, like: IpAddr) -> Result<Vec<Present>> {
    let family = Family::of(like);
    sandbox.rtnl.routes_of_every_table(family).map_err(kernel)
}
