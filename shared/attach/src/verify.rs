//! Comparing the kernel's state with what a previous result promised.

use std::net::IpAddr;

use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route as Present;
use linkspan_plugin::check::{mismatch, same};
use linkspan_plugin::{CheckCall, Result};
use linkspan_protocol::family::Family;
use linkspan_protocol::result::{AddResult, Interface, IpConfig};

use crate::{Side, forwarding, kernel};

/// The link is set up.
pub fn up(side: &Side, link: &Link) -> Result<()> {
    let state = |up| if up { "up" } else { "down" };
    let what = format!("state of {:?} in {side}", link.name);
    same(what, state(true), state(link.up))
}

/// The link has the MTU that the result tells of it, or else `asked`. What is asked of a container's end does not count:
/// a later plugin, as tuning, may have changed it, and not every one of them tells.
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
    same(what, &expected.to_string(), &link.mtu.to_string())
}

/// The container's interface, of the given kind, as it was promised for this attachment.
pub fn container(
    call: &CheckCall,
    sandbox: &Side,
    promised: &AddResult,
    kind: &str,
) -> Result<Link> {
    let (ifname, path) = (call.attachment.ifname.as_str(), call.netns.to_string());
    let mine = |item: &&Interface| item.name == ifname && item.sandbox == path;
    let item = promised.interfaces.iter().rfind(mine).ok_or_else(|| {
        mismatch(
            "Sandbox in prevResult",
            &format!("{ifname} in configured netns {path}"),
            "none",
        )
    })?;
    interface(sandbox, item, kind)
}

/// One of the promised host interfaces is the container's other end.
pub fn host_end(host: &Side, container: &Link, promised: &AddResult) -> Result<Link> {
    let on_host = |item: &&Interface| item.sandbox.is_empty();
    for item in promised.interfaces.iter().filter(on_host) {
        let Some(link) = host.find(&item.name)? else {
            return Err(mismatch(&item.name, "an interface on the host", "none"));
        };
        let peers =
            link.peer_index == Some(container.index) && container.peer_index == Some(link.index);
        if link.kind == "veth" && peers {
            hardware_address(&link, item)?;
            return Ok(link);
        }
    }
    Err(mismatch(
        format!("host end of {}", container.name),
        "a veth",
        "none",
    ))
}

/// The interface of the result is there, of the given kind, and has its hardware address.
pub fn interface(side: &Side, promised: &Interface, kind: &str) -> Result<Link> {
    let name = &promised.name;
    let link = side
        .find(name)?
        .ok_or_else(|| mismatch(format!("interface {name:?} in {side}"), "a link", "none"))?;
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

/// The link has the hardware address that was promised, if one was.
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

/// Every address of the result is on `link`, and its network can be reached without a router.
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
            return Err(mismatch(
                format!("addresses of {:?} in {sandbox}", link.name),
                &wanted.to_string(),
                &list.join(", "),
            ));
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

/// `link` on the host is a gateway: it has the address, and the host forwards the family's packets from there and to it.
pub fn gateway(host: &Side, link: &Link, ip: IpAddr, prefix: u8) -> Result<()> {
    address(link, ip, prefix)?;
    forwarding::verify(host, link, ip)
}

/// `link` on the host has the address.
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

/// What `side` sends to `ip` leaves by `link`, whatever other routes there are.
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

/// Every route of the result is there. A later plugin may have moved it to another table, as sbr does.
pub fn routes(sandbox: &Side, result: &AddResult) -> Result<()> {
    for route in &result.routes {
        let dst = (route.dst.network(), route.dst.prefix());
        let candidates: Vec<_> = tables(sandbox, route.dst.ip())?
            .into_iter()
            .filter(|present| present.dst == dst)
            .collect();
        // Whose next hop leads out of the sandbox may have been changed by a later plugin of the chain.
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
            return Err(mismatch(
                format!("route to {} in {sandbox}", route.dst),
                &gateway.map_or("a route".to_owned(), |gw| via(Some(gw))),
                &actual,
            ));
        }
    }
    Ok(())
}

/// The addresses that the result has for `link` of the sandbox.
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
