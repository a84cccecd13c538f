//! A pair, veth or netkit, with one end on each side. The host's end has a random name, and the tag that names the owner.

use std::os::fd::AsFd;
use std::time::Duration;

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_owner::{Owner, Stale};
use linkspan_plugin::{DelCall, Result, Undo, step};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use nix::errno::Errno;

use crate::creation::{self, random, uncreated};
use crate::{Side, Sides, bridge, kernel, tag};

/// Maximum number of random names to try.
const ATTEMPTS: usize = 10;

/// How long an end may take to come up.
const UP_DEADLINE: Duration = Duration::from_secs(5);

/// The wanted pair.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the sandbox's end.
    pub ifname: &'a IfName,
    /// The owner.
    pub owner: &'a Owner,
    /// The kind of a pair. Of netkit the host's end is the primary one, whose settings the container cannot change.
    pub kind: Kind,
    /// The bridge that takes the host's end.
    pub bridge: Option<&'a Link>,
    /// MTU of both ends.
    pub mtu: Option<u32>,
    /// Hardware address of the sandbox's end.
    pub mac: Option<MacAddr>,
}

/// Both ends; neither is up.
#[derive(Debug)]
pub struct Pair {
    /// The host's end.
    pub host: Link,
    /// The sandbox's end.
    pub sandbox: Link,
}

/// Creates the pair. Each end is born in its namespace, so no name can clash on the way.
pub fn create(sides: &Sides, request: &Request<'_>, undo: &mut Undo) -> Result<Pair> {
    let _step = step("link");
    let host = create_named(sides, request, undo)?;
    let sandbox = sides.sandbox.link(request.ifname.as_str())?;
    Ok(Pair { host, sandbox })
}

/// Waits until frames can pass both ends, and returns both as they are then. The kernel starts a device's queue some
/// time after the other end came up, and drops frames until then. Ends that are up already cause no event.
pub fn wait_until_up(sides: &Sides, pair: &Pair) -> Result<Pair> {
    Ok(Pair {
        host: up(&sides.host, &pair.host)?,
        sandbox: up(&sides.sandbox, &pair.sandbox)?,
    })
}

fn up(side: &Side, link: &Link) -> Result<Link> {
    let look = || side.rtnl.link_by_index(link.index);
    if let Some(now) = look().map_err(kernel)?.filter(|now| now.oper_up) {
        return Ok(now);
    }
    let mut state = "gone".to_owned();
    let up = side.watch()?.until(UP_DEADLINE, || {
        let now = look()?;
        state = now
            .as_ref()
            .map_or("gone".to_owned(), |link| link.oper_state.clone());
        Ok(now.filter(|link| link.oper_up))
    });
    up.map_err(kernel)?.ok_or_else(|| {
        Failure::new(
            ErrorCode::INTERNAL,
            format!(
                "interface {:?} in {side} is in state {state}, expected up within {} s",
                link.name,
                UP_DEADLINE.as_secs()
            ),
        )
    })
}

/// Deletes the attachment's pair. Looks for the container's end first, then for the host's end by its tag: the
/// namespace may live on without its path.
pub fn delete(call: &DelCall) -> Result<()> {
    if tag::delete_inside(call)? {
        return Ok(());
    }
    let own = call.owner();
    let is_own = |link: &Link| match Owner::parse(&link.alias) {
        Some(owner) => owner == own,
        None => tag::is_pending(link, own.network()) && link.group == own.group(),
    };
    let own_end = |link: &Link| link.kind.is_pair() && is_own(link);
    let host = Side::host()?;
    host.rtnl.delete_links(own_end).map(drop).map_err(kernel)
}

/// Deletes the pairs of stale attachments, by tag, and pairs that an ADD did not live to tag. Other pairs without a
/// tag, such as the Go suite's, stay.
pub fn collect(stale: &Stale) -> Result<()> {
    let condemned = |link: &Link| {
        if !link.kind.is_pair() {
            return false;
        }
        match Owner::parse(&link.alias) {
            Some(owner) => stale.includes(&owner),
            None => tag::is_pending(link, stale.network()) && stale.includes_group(link.group),
        }
    };
    let host = Side::host()?;
    host.rtnl.delete_links(condemned).map(drop).map_err(kernel)
}

/// Uses a new connection, since the failed step may have broken the other one.
fn uncreate(name: &str) -> Result<()> {
    match Side::host()?.find(name)? {
        Some(link) => link.delete().map_err(kernel),
        None => Ok(()),
    }
}

fn create_named(sides: &Sides, request: &Request<'_>, undo: &mut Undo) -> Result<Link> {
    let ifname = request.ifname.as_str();
    let own = Netns::current().map_err(kernel)?;
    let netns = sides.sandbox.netns().unwrap_or(&own);
    for _ in 0..ATTEMPTS {
        let name = tag::random_name(request.owner.network());
        let near = LinkSpec {
            controller: request.bridge.map(|bridge| bridge.index),
            group: Some(request.owner.group()),
            mtu: request.mtu,
            // udev's MACAddressPolicy leaves an explicit address alone.
            mac: Some(MacAddr::local(random()).0),
            ..LinkSpec::new(&*name, request.kind.clone())
        };
        let far = Peer {
            name: ifname.to_owned(),
            netns: netns.as_fd(),
            mac: request.mac.map(|mac| mac.0),
            mtu: request.mtu,
        };
        let made = sides.host.rtnl.create_pair(&near, &far);
        if made.as_ref().map_or_else(Error::is_unanswered, |()| true) {
            let name = name.clone();
            undo.push("delete the pair", move || uncreate(&name));
        }
        match made {
            Ok(()) => return sides.host.link(&name),
            Err(err) if err.is(Errno::EXFULL) => {
                return Err(request.bridge.map_or_else(|| kernel(err), bridge::full));
            }
            Err(err) if !err.is(Errno::EEXIST) => return Err(uncreated(err, request.mtu)),
            // The random name is taken, unless the sandbox's name is.
            Err(_) => creation::is_free(&sides.sandbox, request.ifname)?,
        }
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!("no free name on the host after {ATTEMPTS} attempts"),
    ))
}
