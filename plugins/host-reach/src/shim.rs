//! The host's own link on a master, beside those of the containers: found or made, and deleted with the last route by it.
//!
//! It is of the containers' kind, so the kernel hands frames between it and them. It is silent and deaf: it asks and answers
//! nothing on the wire, and hears neither broadcasts nor routers. Every station that it talks to is told to the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_attach::routes::{HOST_REACH, delete};
use linkspan_attach::sysctl::of_interface;
use linkspan_attach::{Side, forwarding, kernel};
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::route::{RouteSpec, SCOPE_LINK};
use linkspan_owner::hash;
use linkspan_plugin::Result;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::{Family, PerFamily};
use nix::errno::Errno;

use crate::pod::End;

/// Whose the link is. It is no attachment's line.
const ALIAS: &str = "host-reach";
/// How names begin; the master's index follows, so that the longest name has 15 characters.
const PREFIX: &str = "reach";
/// Numbers of links, each of which is an address of either family.
const NUMBERS: u32 = 0x3f00;

/// The host's link on a master.
#[derive(Debug)]
pub(crate) struct Shim<'a> {
    host: &'a Side,
    pub(crate) link: Link,
    /// Its addresses.
    pub(crate) ips: PerFamily<Option<IpAddr>>,
}

/// The name of the link on a master.
pub(crate) fn name(master: &Link) -> String {
    format!("{PREFIX}{}", master.index)
}

impl<'a> Shim<'a> {
    /// The link on `master`, with an address of each of the families. It is made where it is not there. Nobody else may
    /// remove it meanwhile.
    pub(crate) fn ensure(
        host: &'a Side,
        master: &Link,
        kind: &Kind,
        families: &[Family],
    ) -> Result<Self> {
        let name = name(master);
        let link = match host.find(&name)? {
            Some(link) if is_own(&link, Some(master)) => link,
            Some(link) => return Err(in_the_way(&link, master)),
            None => make(host, &name, master, kind)?,
        };
        if !link.up {
            silence(host, &link)?;
        }
        let mut shim = Self::with_addresses(host, link)?;
        for family in families {
            shim.address(*family)?;
        }
        if !shim.link.up {
            shim.link.set_up().map_err(kernel)?;
        }
        Ok(shim)
    }

    /// The link of that name, if there is one of ours.
    pub(crate) fn find(host: &'a Side, name: &str) -> Result<Option<Self>> {
        match host.find(name)?.filter(|link| is_own(link, None)) {
            Some(link) => Self::with_addresses(host, link).map(Some),
            None => Ok(None),
        }
    }

    /// The link with that index, if it is one of ours.
    pub(crate) fn at(host: &'a Side, index: Option<u32>) -> Result<Option<Self>> {
        let Some(index) = index else { return Ok(None) };
        let link = host.rtnl.link_by_index(index).map_err(kernel)?;
        let own = link.filter(|link| is_own(link, None));
        own.map(|link| Self::with_addresses(host, link)).transpose()
    }

    /// All links of ours.
    pub(crate) fn all(host: &'a Side) -> Result<Vec<Self>> {
        let mut own = host.rtnl.links().map_err(kernel)?;
        own.retain(|link| is_own(link, None));
        let own = own.into_iter();
        own.map(|link| Self::with_addresses(host, link)).collect()
    }

    fn with_addresses(host: &'a Side, link: Link) -> Result<Self> {
        let mut ips = PerFamily::<Option<IpAddr>>::default();
        for addr in link.addrs(None).map_err(kernel)? {
            if number_of(addr.ip).is_some() {
                *ips.get_mut(Family::of(addr.ip)) = Some(addr.ip);
            }
        }
        Ok(Self { host, link, ips })
    }

    /// Gives the link its address of a family, which no other link of the host has.
    fn address(&mut self, family: Family) -> Result<()> {
        if self.ips.of_family(family).is_some() {
            return Ok(());
        }
        let other = self.ips.v4.or(self.ips.v6).and_then(number_of);
        let number = match other {
            Some(number) => number,
            None => self.free_number()?,
        };
        let ip = address_of(number, family);
        match self.link.add_addr_aside(ip) {
            Err(err) if err.is(Errno::EEXIST) => {}
            added => added.map_err(kernel)?,
        }
        *self.ips.get_mut(family) = Some(ip);
        Ok(())
    }

    fn free_number(&self) -> Result<u16> {
        let first = self.link.index;
        for candidate in first..first.saturating_add(NUMBERS) {
            let number = u16::try_from(candidate % NUMBERS).unwrap_or_default();
            let ip = address_of(number, Family::V4);
            let found = self.host.rtnl.lookup(ip).map_err(kernel)?;
            if !found.is_some_and(|found| found.local) {
                return Ok(number);
            }
        }
        let text = "every address for a link to containers is taken on this host";
        Err(Failure::new(ErrorCode::INTERNAL, text))
    }

    /// Leads to a container's address, whose station is told.
    pub(crate) fn lead(&self, ip: IpAddr, mac: [u8; 6]) -> Result<()> {
        let spec = RouteSpec {
            src: self.ips.of(ip),
            ..route(ip)
        };
        let added = self.host.rtnl.add_first_stored(&self.link.stored(&spec));
        added.map_err(|err| {
            let is_taken = err.is(Errno::EEXIST);
            let failure = kernel(err);
            if is_taken {
                return failure.hint(format!(
                    "the host has another route to {ip}: delete that one"
                ));
            }
            failure
        })?;
        self.link.set_neighbour(ip, mac).map_err(kernel)
    }

    /// Leads to a container's address no more.
    pub(crate) fn unlead(&self, ip: IpAddr) -> Result<()> {
        let route = self.link.stored(&route(ip));
        match delete(self.host, &route) {
            // The family is off, or the link is gone.
            Err(failure) if self.host.find(&self.link.name)?.is_some() => return Err(failure),
            _ => {}
        }
        self.link.delete_neighbour(ip).map_err(kernel)
    }

    /// Deletes the link, unless a route needs it.
    pub(crate) fn delete_if_idle(&self) -> Result<()> {
        for family in Family::BOTH {
            let routes = self.host.rtnl.routes_by(&self.link, family);
            if !routes.map_err(kernel)?.is_empty() {
                return Ok(());
            }
        }
        self.link.delete().map_err(kernel)
    }

    /// Its MAC address and addresses, which containers have as next hops.
    pub(crate) fn end(&self) -> End {
        End {
            mac: self.link.mac,
            ips: self.ips,
        }
    }

    /// Has the host forward what containers send it, to reach addresses like this one.
    pub(crate) fn forward(&self, like: IpAddr) -> Result<()> {
        let link = self.host.link(&self.link.name)?;
        forwarding::enable(self.host, &link, like)
    }
}

/// The route to a container's address, as far as it tells the route from others.
fn route(ip: IpAddr) -> RouteSpec {
    let family = Family::of(ip);
    RouteSpec {
        scope: family.pick(Some(SCOPE_LINK), None),
        protocol: Some(HOST_REACH),
        ..RouteSpec::to(ip, family.host_prefix())
    }
}

fn make(host: &Side, name: &str, master: &Link, kind: &Kind) -> Result<Link> {
    // A hardware address of the host's own, which is the same each time. An ipvlan has its master's.
    let mac = match kind {
        Kind::Ipvlan(_) => None,
        _ => Some(mac(master)),
    };
    let spec = LinkSpec {
        mac,
        // Deaf: nobody sends to all by an address of one station.
        broadcast: mac.or(Some(master.mac)),
        group: Some(group()),
        ..LinkSpec::new(name, kind.clone())
    };
    match master.create_child(&spec) {
        // An ADD with another directory was faster.
        Err(err) if err.is(Errno::EEXIST) => {}
        made => made.map_err(kernel)?,
    }
    let link = host.link(name)?;
    if !is_own(&link, Some(master)) {
        return Err(in_the_way(&link, master));
    }
    Ok(link)
}

/// Sets everything that a new link is to have before it is up.
fn silence(host: &Side, link: &Link) -> Result<()> {
    const NO_ADDRESSES: &str = "1";
    link.tag(ALIAS, 0).map_err(kernel)?;
    link.set_silent().map_err(kernel)?;
    host.sysctl(|sysctls| {
        let mode = of_interface("ipv6", &link.name, "addr_gen_mode");
        sysctls.put_if_known(&mode, NO_ADDRESSES)?;
        sysctls.refuse_router_advertisements(&link.name)?;
        sysctls.set(&forwarding::own_switch(link, Family::V4), "0")
    })
}

/// Whether the link is ours, and on that master. The kernel takes a group with the creation of a link, but no alias.
fn is_own(link: &Link, master: Option<&Link>) -> bool {
    let is_of_kind = matches!(link.kind, Kind::Macvlan(_) | Kind::Ipvlan(_));
    let is_new = link.alias.is_empty() && link.group == group();
    let is_on = |master: &Link| {
        // On a link of the same kind the kernel puts it beside that one.
        let indexes = [Some(master.index), master.peer_index];
        link.peer_netns.is_none() && indexes.contains(&link.peer_index)
    };
    let has_name = link.name.starts_with(PREFIX);
    is_of_kind && has_name && (is_new || link.alias == ALIAS) && master.is_none_or(is_on)
}

fn in_the_way(link: &Link, master: &Link) -> Failure {
    let text = format!(
        "{} {:?} is not the host's link to containers on {}",
        link.kind, link.name, master.name
    );
    Failure::new(ErrorCode::INTERNAL, text).hint("rename it, or delete it")
}

/// The group of a link that has no alias yet; nobody gives it to a link.
fn group() -> u32 {
    hash::number(ALIAS).clamp(1 << 16, u32::MAX - 1)
}

fn mac(master: &Link) -> [u8; 6] {
    let seed = format!("{ALIAS}/{}/{}", MacAddr(master.mac), master.index);
    let digits = hash::hex(&seed);
    let digits = digits.get(..12).unwrap_or_default();
    MacAddr::local(u64::from_str_radix(digits, 16).unwrap_or_default()).0
}

/// The address of a number: 169.254.128.0 and more, or one of a network of this plugin's own.
fn address_of(number: u16, family: Family) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(169, 254, high | 0x80, low).into(),
        Family::V6 => Ipv6Addr::new(0xfdc5, 0x6a1e, 0x9b47, 0, 0, 0, 0, number).into(),
    }
}

/// Whether links of this plugin have such addresses.
pub(crate) fn is_address(ip: IpAddr) -> bool {
    number_of(ip).is_some()
}

/// The number of an address; `None` where it is not one of these.
fn number_of(ip: IpAddr) -> Option<u16> {
    let number = match ip {
        IpAddr::V4(ip) => {
            let [_, _, high, low] = ip.octets();
            u16::from_be_bytes([high & 0x7f, low])
        }
        IpAddr::V6(ip) => *ip.segments().last()?,
    };
    (address_of(number, Family::of(ip)) == ip && u32::from(number) < NUMBERS).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_an_address_of_either_family_which_tells_it() {
        for number in [0, 1, 255, 256, 0x3eff] {
            for family in Family::BOTH {
                assert_eq!(number_of(address_of(number, family)), Some(number));
            }
        }
        for foreign in ["169.254.1.1", "169.254.255.1", "10.0.0.1", "fd00::1"] {
            assert_eq!(number_of(foreign.parse().unwrap()), None, "{foreign}");
        }
    }
}
