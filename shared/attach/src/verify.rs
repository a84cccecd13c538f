//! Comparing the kernel's state with what a previous result promised.

use std::net::IpAddr;

use linkspan_netlink::addr::Family;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route as Present;
use linkspan_plugin::Result;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::{AddResult, Interface};

use crate::{Side, kernel};

/// The kernel's main routing table, where a route lands that names none.
const MAIN_TABLE: u32 = 254;

/// A difference between what is and what was promised.
pub fn mismatch(what: impl std::fmt::Display, expected: &str, actual: &str) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("{what}: expected {expected}, found {actual}"),
    )
    .hint("attach the container anew")
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
            &link.kind,
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
    for ip in result
        .ips
        .iter()
        .filter(|ip| concerns(result, ip.interface, link))
    {
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
        let host_only = wanted.prefix() == if wanted.ip().is_ipv4() { 32 } else { 128 };
        let network = (wanted.network(), wanted.prefix());
        let connected = |route: &Present| route.dst == network;
        if !host_only && !table(sandbox, wanted.ip())?.iter().any(connected) {
            return Err(mismatch(
                format!("route of {sandbox} to the network of {wanted}"),
                &format!("dev {}", link.name),
                "none",
            ));
        }
    }
    Ok(())
}

/// Every route of the result is in the main table. Those of other tables cannot be seen here.
pub fn routes(sandbox: &Side, result: &AddResult) -> Result<()> {
    for route in &result.routes {
        if route
            .table
            .is_some_and(|table| table != 0 && table != MAIN_TABLE)
        {
            continue;
        }
        let dst = (route.dst.network(), route.dst.prefix());
        let candidates: Vec<_> = table(sandbox, route.dst.ip())?
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

fn concerns(result: &AddResult, index: Option<i64>, link: &Link) -> bool {
    let interface = index
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| result.interfaces.get(index));
    interface.is_none_or(|interface| interface.name == link.name && !interface.sandbox.is_empty())
}

fn table(sandbox: &Side, like: IpAddr) -> Result<Vec<Present>> {
    let family = if like.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    sandbox.rtnl.routes(family).map_err(kernel)
}
