//! The common part of links that are born on another one (macvlan, ipvlan and vlan): from the link to the result, the
//! comparisons of CHECK, and STATUS.

use std::mem;
use std::net::IpAddr;

use linkspan_netlink::link::{Kind, Link};
use linkspan_owner::hash;
use linkspan_plugin::capability::{Capability, require};
use linkspan_plugin::check::{promised, same};
use linkspan_plugin::{AddCall, CheckCall, Result, StatusCall, Undo, delegate, interface};
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::Failure;
use linkspan_protocol::result::AddResult;

use crate::addressing::{self, Scheme};
use crate::conflict::{Conflicts, announce, ips_of, refuse_taken};
use crate::end::CONTAINER;
use crate::parent::Parent;
use crate::wishes::Wishes;
use crate::{Side, Sides, creation, end, kernel, verify};

/// The source of a link's addresses.
#[derive(Debug)]
pub enum Addresses {
    /// The link has none.
    None,
    /// The IPAM plugin.
    Ipam,
    /// The previous result.
    Given(AddResult),
}

impl Addresses {
    /// [`Self::Ipam`] if there is an IPAM plugin, else none.
    pub fn of_ipam(is_there: bool) -> Self {
        if is_there { Self::Ipam } else { Self::None }
    }
}

/// The steps from a new link to a usable one.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The host and the container.
    pub sides: &'a Sides,
    /// The source of its addresses.
    pub addresses: Addresses,
    /// The wanted MTU, which the result then reports.
    pub mtu: Option<u32>,
    /// Whether the kernel runs IPv6 duplicate address detection.
    pub dad: bool,
    /// Where to look for other stations with its addresses before it gets them.
    pub conflicts: Conflicts<'a>,
    /// Its sysctls.
    pub wishes: &'a Wishes,
    /// Whether its hardware address is derived from its first address.
    pub mac_by_address: bool,
}

impl Setup<'_> {
    /// Gives the link its addresses, sets it up and returns the result. Each address is announced to the wire once.
    pub fn run(mut self, call: &AddCall, mut link: Link, undo: &mut Undo) -> Result<AddResult> {
        let sandbox = &self.sides.sandbox;
        let (mut result, mut is_up) = match mem::replace(&mut self.addresses, Addresses::None) {
            Addresses::None => (None, false),
            Addresses::Given(result) => (Some(result), false),
            Addresses::Ipam => {
                let asks = delegate::asks_over_the_interface(call);
                if asks {
                    // The IPAM plugin sets the link up, so the router's settings must be refused before that.
                    sandbox.sysctl(|sysctls| sysctls.refuse_router_advertisements(&link.name))?;
                    self.wishes.apply(sandbox)?;
                }
                (Some(interface::lease(call, CONTAINER, undo)?), asks)
            }
        };
        if let Some(result) = &mut result {
            addressing::possible(sandbox, result, self.mtu)?;
            if let Some(first) = result.ips.first().filter(|_| self.mac_by_address) {
                let mac = mac_of(first.address.ip());
                link.set_mac(mac.0).map_err(kernel)?;
                link.mac = mac.0;
            }
            is_up |= self.refuse_conflicts(&link, result)?;
        }
        let mut result = result.unwrap_or_default();
        let mut told = creation::interface(&link, &call.netns.to_string());
        told.mtu = self.mtu.map_or(0, i64::from);
        result.interfaces = vec![told];
        if result.ips.is_empty() {
            self.wishes.apply(sandbox)?;
            creation::set_up(&link)?;
        } else {
            let scheme = Scheme::Subnet { dad: self.dad };
            addressing::apply(sandbox, &link, &result, scheme, self.wishes)?;
        }
        if is_up {
            announce(&link)?;
        }
        interface::resolve_names(call, &mut result);
        Ok(result)
    }

    /// Refuses addresses that another station has. Returns whether the link was set up for the search.
    fn refuse_conflicts(&self, link: &Link, result: &AddResult) -> Result<bool> {
        let ips = ips_of(result);
        let sandbox = &self.sides.sandbox;
        match self.conflicts {
            Conflicts::OverLink(parent) if !ips.is_empty() => {
                addressing::ready(sandbox, link, result, self.dad, self.wishes)?;
                creation::set_up(link)?;
                refuse_taken(sandbox, link, parent, &ips)?;
                Ok(true)
            }
            Conflicts::OverParent(side, parent) if !ips.is_empty() => {
                refuse_taken(side, parent, parent, &ips)?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

/// The hardware address of an address, which is the same on every node.
pub fn mac_of(ip: IpAddr) -> MacAddr {
    match ip {
        // The prefix that Docker and the first plugins used.
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            MacAddr([0x0a, 0x58, a, b, c, d])
        }
        IpAddr::V6(ip) => {
            let digest = hash::hex(&ip.to_string());
            let seed = digest.get(..12).unwrap_or_default();
            MacAddr::local(u64::from_str_radix(seed, 16).unwrap_or_default())
        }
    }
}

/// The comparisons of CHECK for every such link. Returns the link, for comparisons of its kind alone.
pub fn check(call: &CheckCall, kind: &Kind, parent: &Parent, mtu: i64) -> Result<Link> {
    let promised = promised(call)?;
    if !call.netconf.ipam.kind.is_empty() {
        delegate::check(call)?;
    }
    let sides = Sides::open(&call.netns)?;
    let sandbox = &sides.sandbox;
    let link = verify::container(call, sandbox, &promised, kind.as_str())?;
    parent.verify(&sides, &link)?;
    verify::up(sandbox, &link)?;
    let asked = u32::try_from(mtu).ok().filter(|mtu| *mtu > 0);
    verify::mtu(sandbox, &link, asked, &promised)?;
    let is_own = |ifname: &str, place: &str| ifname == link.name && !place.is_empty();
    let mut told = promised.interfaces.iter();
    // A result of an older version has no MTU.
    let is_told = told.any(|item| is_own(&item.name, &item.sandbox) && item.mtu > 0);
    if let Some(asked) = asked.filter(|_| !is_told) {
        let what = format!("mtu of {:?} in {sandbox}", link.name);
        same(what, &asked.to_string(), &link.mtu.to_string())?;
    }
    verify::addresses(sandbox, &link, &promised)?;
    verify::routes(sandbox, &promised)?;
    Ok(link)
}

/// STATUS: capabilities, the kind, the parent if it is to be checked, the MTU (by `fits`), and IPAM.
pub fn status(
    call: &StatusCall,
    kind: &Kind,
    parent: &Parent,
    fits: impl FnOnce(&Link) -> Result<()>,
) -> Result<()> {
    require(&[Capability::NetAdmin, Capability::SysAdmin])?;
    let host = Side::host()?;
    end::status(&host, kind)?;
    if let Some(link) = parent.status(&host)? {
        fits(&link)?;
    }
    if !call.netconf.ipam.kind.is_empty() {
        delegate::status(call)?;
    }
    Ok(())
}

/// Returns whether `macPolicy` is `ip`. It must be one of `words`, of which the first is the default. The address of
/// an interface over which IPAM asks for one cannot be derived from it.
pub fn mac_by_address(policy: Option<&str>, words: &[&str], ipam: &str) -> Result<bool> {
    let policy = policy.filter(|word| !word.is_empty());
    let Some(policy) = policy.filter(|word| words.first() != Some(word)) else {
        return Ok(false);
    };
    if !words.contains(&policy) {
        let failure = Failure::config(format!("unknown macPolicy {policy:?}"));
        return Err(failure.hint(format!("use {}", words.join(" or "))));
    }
    if ipam.is_empty() {
        let failure = Failure::config("macPolicy \"ip\" needs addresses of an IPAM plugin");
        return Err(failure.hint("set \"ipam\", or leave out \"macPolicy\""));
    }
    if delegate::is_over_the_interface(ipam) {
        let text = format!(
            "macPolicy \"ip\" is not possible with {ipam}: it asks for an IP address by the MAC address"
        );
        return Err(Failure::config(text).hint("leave out \"macPolicy\", or set \"mac\""));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn each_address_has_a_hardware_address_of_one_station() {
        let v4 = (0..5_000_u32).map(|n| IpAddr::from(Ipv4Addr::from(0x0a01_0000 + n)));
        let v6 = (0..5_000_u128).map(|n| IpAddr::from(Ipv6Addr::from((0xfd << 120) + n)));
        let all: HashSet<[u8; 6]> = v4.chain(v6).map(|ip| mac_of(ip).0).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|mac| mac[0] & 3 == 2));
        let mac = mac_of([10, 1, 0, 7].into());
        assert_eq!(mac.to_string(), "0a:58:0a:01:00:07");
    }

    #[test]
    fn a_policy_is_one_that_is_possible() {
        let by_address = |policy, ipam| mac_by_address(policy, &["random", "ip"], ipam);
        for policy in [None, Some(""), Some("random")] {
            assert!(!by_address(policy, "").unwrap());
        }
        assert!(by_address(Some("ip"), "host-local").unwrap());
        for (policy, ipam) in [("ip", ""), ("ip", "dhcp"), ("IP", "host-local")] {
            assert!(by_address(Some(policy), ipam).is_err(), "{policy} {ipam}");
        }
    }
}
