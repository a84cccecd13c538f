//! Addresses of a link.

use std::net::{IpAddr, Ipv4Addr};

use linkspan_protocol::family::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::Error;
use crate::link::Link;
use crate::request::Attempt;

/// The kernel's number of the family.
pub(crate) fn kernel(family: Family) -> AddressFamily {
    family.pick(AddressFamily::Inet, AddressFamily::Inet6)
}

/// Options of a new address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddrFlags {
    /// IPv6: usable at once, without duplicate address detection.
    pub nodad: bool,
    /// Without the kernel's automatic route to the subnet.
    pub noprefixroute: bool,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addr {
    /// Address.
    pub ip: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
    /// IPv6: duplicate address detection is still running.
    pub tentative: bool,
    /// IPv6: another station has the address.
    pub dad_failed: bool,
    /// Scope as the kernel numbers it: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Whether it stays until it is removed.
    pub permanent: bool,
}

/// An address with all attributes of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAddr {
    /// The decoded part.
    pub addr: Addr,
    message: AddressMessage,
}

impl Link {
    /// The link's addresses of a family, with all attributes.
    pub fn stored_addrs(&self, family: Family) -> Result<Vec<StoredAddr>, Error> {
        let mut message = AddressMessage::default();
        message.header.index = self.index;
        message.header.family = kernel(family);
        let attempt = Attempt("list addresses of", &self.name);
        let found = self
            .rtnl
            .dump(attempt, &RouteNetlinkMessage::GetAddress(message))?;
        Ok(found.into_iter().filter_map(StoredAddr::of).collect())
    }

    /// Adds a stored address, without duplicate address detection; `EEXIST` if the link has it.
    pub fn add_stored_addr(&self, stored: &StoredAddr) -> Result<(), Error> {
        let Addr { ip, prefix, .. } = stored.addr;
        let mut message = stored.message.clone();
        message.header.index = self.index;
        for attribute in &mut message.attributes {
            if let AddressAttribute::Flags(flags) = attribute {
                *flags &= AddressFlags::Noprefixroute | AddressFlags::Managetempaddr;
                *flags |= AddressFlags::Nodad;
            }
        }
        self.rtnl.change(
            Attempt("add address", self.object(ip, prefix)),
            NLM_F_CREATE | NLM_F_EXCL,
            RouteNetlinkMessage::NewAddress(message),
        )
    }

    /// The link's addresses, of one family or both.
    pub fn addrs(&self, family: Option<Family>) -> Result<Vec<Addr>, Error> {
        let mut message = AddressMessage::default();
        message.header.index = self.index;
        message.header.family = family.map_or(AddressFamily::Unspec, kernel);
        let attempt = Attempt("list addresses of", &self.name);
        let found = self
            .rtnl
            .dump(attempt, &RouteNetlinkMessage::GetAddress(message))?;
        Ok(found.into_iter().filter_map(Addr::of).collect())
    }

    /// Adds an address; `EEXIST` where the link has it.
    pub fn add_addr(&self, ip: IpAddr, prefix: u8, flags: AddrFlags) -> Result<(), Error> {
        let mut message = self.addr_message(ip, prefix);
        if let IpAddr::V4(ip) = ip
            && prefix < 31
        {
            let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let broadcast = Ipv4Addr::from(u32::from(ip) | host_bits);
            message
                .attributes
                .push(AddressAttribute::Broadcast(broadcast));
        }
        let mut kernel = AddressFlags::empty();
        kernel.set(AddressFlags::Nodad, flags.nodad && ip.is_ipv6());
        kernel.set(AddressFlags::Noprefixroute, flags.noprefixroute);
        if !kernel.is_empty() {
            message.attributes.push(AddressAttribute::Flags(kernel));
        }
        self.rtnl.change(
            Attempt("add address", self.object(ip, prefix)),
            NLM_F_CREATE | NLM_F_EXCL,
            RouteNetlinkMessage::NewAddress(message),
        )
    }

    /// Adds an address that the kernel takes for a source only where a route names it: one of IPv4 is of scope link, and
    /// one of IPv6 is deprecated. `EEXIST` where the link has it.
    pub fn add_addr_aside(&self, ip: IpAddr) -> Result<(), Error> {
        let prefix = Family::of(ip).host_prefix();
        let mut message = self.addr_message(ip, prefix);
        if ip.is_ipv4() {
            message.header.scope = AddressScope::Link;
        } else {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_valid = u32::MAX;
            let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
            message.attributes.extend([
                AddressAttribute::CacheInfo(lifetime),
                AddressAttribute::Flags(flags),
            ]);
        }
        self.rtnl.change(
            Attempt("add address", self.object(ip, prefix)),
            NLM_F_CREATE | NLM_F_EXCL,
            RouteNetlinkMessage::NewAddress(message),
        )
    }

    /// Removes an address.
    pub fn del_addr(&self, ip: IpAddr, prefix: u8) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(self.addr_message(ip, prefix));
        let attempt = Attempt("remove address", self.object(ip, prefix));
        self.rtnl.change(attempt, 0, message)
    }

    fn addr_message(&self, ip: IpAddr, prefix: u8) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = self.index;
        message.header.family = kernel(Family::of(ip));
        message.header.prefix_len = prefix;
        message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        message
    }
}

impl StoredAddr {
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let addr = Addr::of(answer.clone())?;
        match answer {
            RouteNetlinkMessage::NewAddress(message) => Some(Self { addr, message }),
            _ => None,
        }
    }
}

impl Addr {
    /// Decodes a reply. Returns `None` for any other message type.
    pub fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewAddress(message) = answer else {
            return None;
        };
        let (mut local, mut address, mut flags) = (None, None, AddressFlags::empty());
        for attribute in message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(ip),
                AddressAttribute::Address(ip) => address = Some(ip),
                AddressAttribute::Flags(all) => flags = all,
                _ => {}
            }
        }
        Some(Self {
            ip: local.or(address)?,
            prefix: message.header.prefix_len,
            tentative: flags.contains(AddressFlags::Tentative),
            dad_failed: flags.contains(AddressFlags::Dadfailed),
            scope: message.header.scope.into(),
            permanent: flags.contains(AddressFlags::Permanent),
        })
    }
}
