//! A veth pair with one end on each side. The host's end has a tag that names its owner: a note of the kernel's beside
//! its name (`ip link` shows it as alias), since the name itself is random.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;
use std::time::Duration;

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Link, VethSpec};
use linkspan_netlink::netns::Netns;
use linkspan_plugin::{DelCall, Result, Undo};
use linkspan_protocol::addr::{MacAddr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::Interface;
use nix::errno::Errno;

use crate::owner::{Owner, Stale};
use crate::{Side, Sides, bridge, kernel};

/// How often a random name may be taken before we stop believing in chance.
const ATTEMPTS: usize = 10;

/// How long an end may take to come up.
const UP_DEADLINE: Duration = Duration::from_secs(5);

/// What the pair shall be.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the sandbox's end.
    pub ifname: &'a IfName,
    /// Whose it is.
    pub owner: &'a Owner,
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

/// Makes the pair with each end born where it belongs, so that no name can clash on the way.
pub fn create(sides: &Sides, request: &Request<'_>, undo: &mut Undo) -> Result<Pair> {
    let host = create_named(sides, request, undo)?;
    let sandbox = sides.sandbox.link(request.ifname.as_str())?;
    Ok(Pair { host, sandbox })
}

/// Waits until frames can pass both ends. The kernel starts a device's queue some time after its other end came up, and
/// until then drops what it is given. There is nothing to subscribe to where that has happened already.
pub fn wait_until_up(sides: &Sides, pair: &Pair) -> Result<()> {
    for (side, link) in [(&sides.host, &pair.host), (&sides.sandbox, &pair.sandbox)] {
        let look = || side.rtnl.link_by_index(link.index);
        if look().map_err(kernel)?.is_some_and(|now| now.oper_up) {
            continue;
        }
        let mut state = "gone".to_owned();
        let up = side.watch()?.until(UP_DEADLINE, || {
            let now = look()?;
            state = now
                .as_ref()
                .map_or("gone".to_owned(), |link| link.oper_state.clone());
            Ok(now.filter(|link| link.oper_up))
        });
        if up.map_err(kernel)?.is_none() {
            return Err(Failure::new(
                ErrorCode::INTERNAL,
                format!(
                    "interface {:?} in {side} is in state {state}, expected up within {} s",
                    link.name,
                    UP_DEADLINE.as_secs()
                ),
            ));
        }
    }
    Ok(())
}

/// The `mtu` key in bytes; 0 and less leave the kernel's default. Code 7 where no link could have it.
pub fn mtu(key: i64) -> Result<Option<u32>> {
    let mtu = u32::try_from(key.max(0))
        .map_err(|_range| Failure::config(format!("mtu {key} is more than a link can have")))?;
    Ok((mtu > 0).then_some(mtu))
}

/// Deletes the container's end, and so the host's, unless the host's end names another attachment. A sandbox that is gone
/// took both with it.
pub fn delete(call: &DelCall) -> Result<()> {
    let Some(path) = &call.netns else {
        return Ok(());
    };
    let Some(sandbox) = Side::sandbox(path)? else {
        return Ok(());
    };
    let Some(link) = sandbox.find(call.attachment.ifname.as_str())? else {
        return Ok(());
    };
    let own = Owner::of(&call.network, &call.attachment);
    match owner(&link)? {
        Some(other) if other != own => Ok(()),
        _ => link.delete().map_err(kernel),
    }
}

/// The attachment that has the interface `ifname` of a sandbox, as the host's end of its pair names it. Pairs of the Go
/// suite name none.
pub fn holder(sandbox: &NetnsPath, ifname: &IfName) -> Result<Option<Owner>> {
    let Some(sandbox) = Side::sandbox(sandbox)? else {
        return Ok(None);
    };
    match sandbox.find(ifname.as_str())? {
        Some(link) => owner(&link),
        None => Ok(None),
    }
}

/// The attachment that the host's end of this sandbox's end names.
fn owner(end: &Link) -> Result<Option<Owner>> {
    let Some(index) = end.peer_index.filter(|_| end.kind == "veth") else {
        return Ok(None);
    };
    let host = Side::host()?.rtnl.link_by_index(index).map_err(kernel)?;
    // A pair whose other end is elsewhere may have an index that is another link's here.
    let host = host.filter(|host| host.kind == "veth" && host.peer_index == Some(end.index));
    Ok(host.and_then(|host| Owner::parse(&host.alias)))
}

/// Deletes the pairs of stale attachments by their tags, and those of an ADD that died before it could tag them. A pair
/// without a tag in the default group, as the Go suite makes them, is nobody's.
pub fn collect(stale: &Stale) -> Result<()> {
    let condemned = |link: &Link| {
        if link.kind != "veth" {
            return false;
        }
        match Owner::parse(&link.alias) {
            Some(owner) => stale.includes(&owner),
            None => link.alias.is_empty() && stale.includes_group(link.group),
        }
    };
    let host = Side::host()?;
    host.rtnl.delete_links(condemned).map(drop).map_err(kernel)
}

/// A link as a result tells it; `sandbox` is empty for the host.
pub fn interface(link: &Link, sandbox: &str) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: MacAddr(link.mac).to_string(),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    }
}

/// Over a connection of its own, since what failed may have been the other one.
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
        let name = random_name();
        let made = sides.host.rtnl.create_veth(&VethSpec {
            name: name.clone(),
            controller: request.bridge.map(|bridge| bridge.index),
            group: request.owner.group(),
            mtu: request.mtu,
            peer_name: ifname.to_owned(),
            peer_mac: request.mac.map(|mac| mac.0),
            peer_netns: netns.as_fd(),
        });
        if made.as_ref().map_or_else(Error::is_unanswered, |()| true) {
            let name = name.clone();
            undo.push("delete the veth pair", move || uncreate(&name));
        }
        match made {
            Ok(()) => return sides.host.link(&name),
            Err(err) if err.is(Errno::EXFULL) => {
                return Err(request.bridge.map_or_else(|| kernel(err), bridge::full));
            }
            Err(err) if !err.is(Errno::EEXIST) => return Err(kernel(err)),
            Err(_) if sides.sandbox.find(ifname)?.is_some() => {
                return Err(Failure::new(
                    ErrorCode::INTERNAL,
                    format!(
                        "container interface {ifname:?} already exists in {}",
                        sides.sandbox
                    ),
                )
                .hint("detach it with DEL first, or choose another CNI_IFNAME"));
            }
            // The random name is taken.
            Err(_) => {}
        }
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!("no free veth name on the host after {ATTEMPTS} attempts"),
    ))
}

fn random_name() -> String {
    format!("veth{:08x}", random() & 0xffff_ffff)
}

/// Randomness that std seeds from the kernel.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_eight_hex_digits_and_differ() {
        let (a, b) = (random_name(), random_name());
        assert_eq!(a.len(), 12);
        assert!(
            a.trim_start_matches("veth")
                .chars()
                .all(|c| c.is_ascii_hexdigit())
        );
        assert_ne!(a, b);
    }
}
