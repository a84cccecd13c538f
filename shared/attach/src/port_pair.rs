//! A veth pair with both ends on the host: one is a port of a bridge, the other one is the host's interface in the
//! VLANs of that port. Many attachments share the pair, and it outlives them.

use std::os::fd::AsFd;

use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_owner::Owner;
use linkspan_plugin::{DelCall, Result};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use nix::errno::Errno;

use crate::creation::{random, uncreated};
use crate::{Side, kernel, tag};

/// Maximum number of random names to try.
const ATTEMPTS: usize = 10;

/// Finds the host's own end by its name, or makes the pair, and sees that the end is up. Many processes may do this at
/// once: the end gets its name last. `settle` configures the port before that.
///
/// Until then the pair has a name and a group that only an ADD of `owner` gives, so GC and [`delete_unfinished`]
/// delete the pair of a killed ADD.
pub fn ensure(
    host: &Side,
    name: &str,
    bridge: &Link,
    owner: &Owner,
    settle: impl FnOnce(&Link) -> Result<()>,
) -> Result<Link> {
    let found = match host.find(name)? {
        Some(found) => found,
        None => make(host, name, bridge, owner, settle)?,
    };
    if !found.up {
        found.set_up().map_err(kernel)?;
    }
    Ok(found)
}

fn make(
    host: &Side,
    name: &str,
    bridge: &Link,
    owner: &Owner,
    settle: impl FnOnce(&Link) -> Result<()>,
) -> Result<Link> {
    let (own, port) = create(host, bridge, owner)?;
    let done = prepare(host, &own, &port, bridge)
        .and_then(|()| settle(&port))
        .and_then(|()| port.set_up().map_err(kernel))
        .map(|()| own.publish(name));
    let named = match done {
        Ok(Ok(())) => return host.link(name),
        // Another ADD was faster.
        Ok(Err(err)) if err.is(Errno::EEXIST) => Ok(()),
        Ok(Err(err)) => Err(kernel(err)),
        Err(failure) => Err(failure),
    };
    let deleted = own.delete().map_err(kernel);
    named.and(deleted)?;
    host.link(name)
}

/// Deletes an unfinished pair of the attachment, left by a killed ADD.
pub fn delete_unfinished(call: &DelCall) -> Result<()> {
    let own = call.owner();
    let is_left = |link: &Link| {
        let is_own = link.kind == "veth" && link.group == own.group();
        is_own && tag::is_pending(link, own.network())
    };
    let host = Side::host()?;
    host.rtnl.delete_links(is_left).map(drop).map_err(kernel)
}

fn create(host: &Side, bridge: &Link, owner: &Owner) -> Result<(Link, Link)> {
    let here = Netns::current().map_err(kernel)?;
    for _ in 0..ATTEMPTS {
        let own = LinkSpec {
            group: Some(owner.group()),
            mtu: Some(bridge.mtu),
            mac: Some(MacAddr::local(random()).0),
            ..LinkSpec::new(tag::random_name(owner.network()), Kind::Veth)
        };
        let port = Peer {
            mac: Some(MacAddr::local(random()).0),
            mtu: Some(bridge.mtu),
            ..Peer::new(tag::random_name(owner.network()), here.as_fd())
        };
        match host.rtnl.create_pair(&own, &port) {
            Ok(()) => return Ok((host.link(&own.name)?, host.link(&port.name)?)),
            Err(err) if err.is(Errno::EEXIST) => {}
            Err(err) => {
                if err.is_unanswered()
                    && let Some(made) = host.find(&own.name)?
                {
                    made.delete().map_err(kernel)?;
                }
                return Err(uncreated(err, Some(bridge.mtu)));
            }
        }
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!("no free veth name on the host after {ATTEMPTS} attempts"),
    ))
}

fn prepare(host: &Side, own: &Link, port: &Link, bridge: &Link) -> Result<()> {
    host.sysctl(|sysctls| {
        for end in [own, port] {
            sysctls.refuse_router_advertisements(&end.name)?;
        }
        sysctls.trust_link_local_address(&own.name)
    })?;
    match port.set_controller(Some(bridge.index)) {
        Err(err) if err.is(Errno::EXFULL) => Err(crate::bridge::full(bridge)),
        set => set.map_err(kernel),
    }
}
