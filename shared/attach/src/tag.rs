//! The owner of an interface. Its tag is the kernel's alias (`ip link` shows it). A pair has the tag on the host's end,
//! out of the container's reach; any other link has it on itself.

use linkspan_netlink::link::Link;
use linkspan_owner::{Owner, hash};
use linkspan_plugin::{DelCall, Result};
use linkspan_protocol::addr::NetnsPath;
use linkspan_protocol::ident::IfName;

use crate::creation::random;
use crate::{Side, kernel};

/// The attachment that owns the interface `ifname` of a sandbox, by its tag. Links of the Go suite have no tag.
pub fn holder(sandbox: &NetnsPath, ifname: &IfName) -> Result<Option<Owner>> {
    let Some(sandbox) = Side::sandbox(sandbox)? else {
        return Ok(None);
    };
    match sandbox.find(ifname.as_str())? {
        Some(link) if link.kind.is_pair() => {
            Ok(host_end(&link)?.and_then(|host| Owner::parse(&host.alias)))
        }
        Some(link) => Ok(Owner::parse(&link.alias)),
        None => Ok(None),
    }
}

/// Deletes the attachment's interface in its sandbox, and returns whether there was one. An interface with another
/// attachment's tag stays: the path may belong to another container by now.
pub(crate) fn delete_inside(call: &DelCall) -> Result<bool> {
    let sandbox = call.netns.as_ref().map(Side::sandbox).transpose()?;
    let Some(sandbox) = sandbox.flatten() else {
        return Ok(false);
    };
    match sandbox.find(call.attachment.ifname.as_str())? {
        Some(link) if !is_anothers(&link, &call.owner())? => {
            link.delete().map_err(kernel).map(|()| true)
        }
        _ => Ok(false),
    }
}

/// Returns whether the interface bears another attachment's tag. Interfaces of the Go suite bear none: the answer is
/// no.
fn is_anothers(link: &Link, own: &Owner) -> Result<bool> {
    if !link.kind.is_pair() {
        return Ok(Owner::parse(&link.alias).is_some_and(|owner| owner != *own));
    }
    let Some(host) = host_end(link)? else {
        return Ok(false);
    };
    Ok(match Owner::parse(&host.alias) {
        Some(owner) => owner != *own,
        None => is_being_made(&host) && host.group != own.group(),
    })
}

/// The host's end of the pair that `end` belongs to; `None` where the other end is not on the host.
fn host_end(end: &Link) -> Result<Option<Link>> {
    let Some(index) = end.peer_index else {
        return Ok(None);
    };
    let host = Side::host()?.rtnl.link_by_index(index).map_err(kernel)?;
    // Where the other end is elsewhere, its index may be another link's here.
    Ok(host.filter(|host| host.kind.is_pair() && host.peer_index == Some(end.index)))
}

/// Returns whether an ADD of `network` created this end of a pair and has not tagged it yet. The kernel takes a name
/// and a group with the creation of a link, but no alias. People may set any group, so the name must confirm it: half
/// of its digits are a checksum of the others and the network.
pub(crate) fn is_pending(link: &Link, network: &str) -> bool {
    is_being_made(link)
        && name_parts(&link.name).is_some_and(|(seed, check)| check == checksum(network, seed))
}

/// The same for any network.
fn is_being_made(link: &Link) -> bool {
    let is_ours = link.alias.is_empty() && link.group > u32::from(u16::MAX);
    is_ours && name_parts(&link.name).is_some()
}

/// A random name for the host's end of a pair of `network`; see [`is_pending`].
pub(crate) fn random_name(network: &str) -> String {
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
