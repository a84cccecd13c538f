//! A veth pair with one end on each side. The host's end has a tag that names its owner: a note of the kernel's beside
//! its name (`ip link` shows it as alias), since the name itself is random.

use std::os::fd::AsFd;
use std::time::Duration;

use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Link, VethSpec};
use linkspan_netlink::netns::Netns;
use linkspan_owner::{Owner, Stale, hash};
use linkspan_plugin::{DelCall, Result, Undo};
use linkspan_protocol::addr::{MacAddr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::ident::IfName;
use linkspan_protocol::result::Interface;
use nix::errno::Errno;

use crate::creation::{random, uncreated};
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

/// Refuses an interface of that name that is there already. To be asked before IPAM is: an address that it gives to the
/// attachment once more is not to be taken from the living by the undo of this ADD.
pub fn is_free(sides: &Sides, ifname: &IfName) -> Result<()> {
    if sides.sandbox.find(ifname.as_str())?.is_none() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!(
            "container interface {:?} already exists in {}",
            ifname.as_str(),
            sides.sandbox
        ),
    )
    .hint("detach it with DEL first, or choose another CNI_IFNAME"))
}

/// Makes the pair with each end born where it belongs, so that no name can clash on the way.
pub fn create(sides: &Sides, request: &Request<'_>, undo: &mut Undo) -> Result<Pair> {
    let host = create_named(sides, request, undo)?;
    let sandbox = sides.sandbox.link(request.ifname.as_str())?;
    Ok(Pair { host, sandbox })
}

/// Waits until frames can pass both ends. The kernel starts a device's queue some time after its other end came up, and
/// until then drops what it is given. There is nothing to subscribe to where that has happened already. Both ends as they are
/// then.
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

/// Deletes the pair of the attachment. Its container's end is looked for first, unless that has another attachment's tag
/// on the other side: the path may be that of another container by now. Where there is none, the host's end is looked for
/// by its tag: the namespace may live without its path.
pub fn delete(call: &DelCall) -> Result<()> {
    let own = call.owner();
    let sandbox = call.netns.as_ref().map(Side::sandbox).transpose()?;
    if let Some(sandbox) = sandbox.flatten()
        && let Some(link) = sandbox.find(call.attachment.ifname.as_str())?
        && !is_anothers(&link, &own)?
    {
        return link.delete().map_err(kernel);
    }
    let is_own = |link: &Link| match Owner::parse(&link.alias) {
        Some(owner) => owner == own,
        None => is_pending(link, own.network()) && link.group == own.group(),
    };
    let own_end = |link: &Link| link.kind == "veth" && is_own(link);
    let host = Side::host()?;
    host.rtnl.delete_links(own_end).map(drop).map_err(kernel)
}

/// Whether the other end of this sandbox's end is on the host, and another attachment's. One without a tag, as the Go
/// suite makes them, is not.
fn is_anothers(end: &Link, own: &Owner) -> Result<bool> {
    let Some(host) = host_end(end)? else {
        return Ok(false);
    };
    Ok(match Owner::parse(&host.alias) {
        Some(owner) => owner != *own,
        None => is_being_made(&host) && host.group != own.group(),
    })
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
    Ok(host_end(end)?.and_then(|host| Owner::parse(&host.alias)))
}

/// The host's end of this sandbox's end, where that is a veth with its other end on the host.
fn host_end(end: &Link) -> Result<Option<Link>> {
    let Some(index) = end.peer_index.filter(|_| end.kind == "veth") else {
        return Ok(None);
    };
    let host = Side::host()?.rtnl.link_by_index(index).map_err(kernel)?;
    // A pair whose other end is elsewhere may have an index that is another link's here.
    Ok(host.filter(|host| host.kind == "veth" && host.peer_index == Some(end.index)))
}

/// Deletes the pairs of stale attachments by their tags, and those of an ADD that died before it could tag them. Any
/// other pair without a tag, as the Go suite and administrators make them, is nobody's.
pub fn collect(stale: &Stale) -> Result<()> {
    let condemned = |link: &Link| {
        if link.kind != "veth" {
            return false;
        }
        match Owner::parse(&link.alias) {
            Some(owner) => stale.includes(&owner),
            None => is_pending(link, stale.network()) && stale.includes_group(link.group),
        }
    };
    let host = Side::host()?;
    host.rtnl.delete_links(condemned).map(drop).map_err(kernel)
}

/// Whether an ADD of that network has made this end of a pair and has not tagged it yet. The kernel takes a name and a
/// group with the creation of a link, and no alias. A group is any number that somebody chose, so the name has to confirm
/// it: half of its digits follow from the others and from the network.
fn is_pending(link: &Link, network: &str) -> bool {
    is_being_made(link)
        && name_parts(&link.name).is_some_and(|(seed, check)| check == checksum(network, seed))
}

/// The same of any network.
fn is_being_made(link: &Link) -> bool {
    let is_ours = link.alias.is_empty() && link.group > u32::from(u16::MAX);
    is_ours && name_parts(&link.name).is_some()
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
        let name = random_name(request.owner.network());
        let made = sides.host.rtnl.create_veth(&VethSpec {
            name: name.clone(),
            controller: request.bridge.map(|bridge| bridge.index),
            group: request.owner.group(),
            mtu: request.mtu,
            // One that is given is left alone by udev's MACAddressPolicy.
            mac: Some(MacAddr::local(random()).0),
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
            Err(err) if !err.is(Errno::EEXIST) => return Err(uncreated(err, request.mtu)),
            // The random name is taken, unless the other one is.
            Err(_) => is_free(sides, request.ifname)?,
        }
    }
    Err(Failure::new(
        ErrorCode::INTERNAL,
        format!("no free veth name on the host after {ATTEMPTS} attempts"),
    ))
}

/// A random name, which an attachment of that network confirms; see [`is_pending`].
fn random_name(network: &str) -> String {
    let seed = (random() & 0xffff) as u16;
    let check = checksum(network, seed);
    format!("veth{seed:04x}{check:04x}")
}

/// The two halves of a name that [`random_name`] could have made.
fn name_parts(name: &str) -> Option<(u16, u16)> {
    let digits = name.strip_prefix("veth")?;
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if digits.len() != 8 || !digits.chars().all(is_digit) {
        return None;
    }
    let (seed, check) = digits.split_at_checked(4)?;
    let number = |digits| u16::from_str_radix(digits, 16).ok();
    Some((number(seed)?, number(check)?))
}

fn checksum(network: &str, seed: u16) -> u16 {
    let digest = hash::hex(&format!("{seed:04x}{network}"));
    let digits = digest.get(..4).unwrap_or_default();
    u16::from_str_radix(digits, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_eight_hex_digits_that_confirm_their_network() {
        let names = [(); 20].map(|()| random_name("net"));
        assert!(names.iter().any(|name| *name != names[0]));
        for name in &names {
            let (seed, check) = name_parts(name).unwrap();
            assert_eq!(check, checksum("net", seed));
            assert_ne!(check, checksum("other", seed));
        }
        for foreign in [
            "eth0",
            "veth",
            "veth1234567",
            "veth1234567g",
            "veth1234567A",
            "veth123456789",
        ] {
            assert_eq!(name_parts(foreign), None, "{foreign}");
        }
    }
}
