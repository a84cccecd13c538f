//! The tunnel to nodes that are not on a link of this one: a VXLAN that takes the far ends from its routes.

use std::net::IpAddr;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Vxlan};
use linkspan_netlink::route::SCOPE_LINK;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;

use crate::error::{Error, Result};

/// The link's name.
pub const NAME: &str = "linkspan-vxlan";

/// The UDP port that IANA assigned to VXLAN-GPE. Firewalls between the nodes must admit it.
pub const PORT: u16 = 4790;

/// The identifier of the cluster's network.
pub const ID: u32 = 1;

/// Bytes that a tunnel over this family costs: the IP header, and eight each for UDP and VXLAN.
pub fn overhead(family: Family) -> u32 {
    family.pick(20, 40) + 8 + 8
}

/// Ensures that the link exists, with this MTU and exactly these addresses. The host itself sends from them, so that
/// answers come back through the tunnel.
pub fn ensure(rtnl: &Rtnl, mtu: u32, addresses: &[IpAddr]) -> Result<Link> {
    let kind = Kind::Vxlan(Vxlan::at(PORT));
    let link = match rtnl.link_by_name(NAME)? {
        Some(link) => link,
        None => make(rtnl, mtu, &kind)?,
    };
    if link.kind != kind {
        return Err(Error::Settings(format!(
            "{NAME} is a {} that somebody else made: give that another name",
            link.kind
        )));
    }
    if link.mtu != mtu {
        link.set_mtu(mtu)?;
    }
    let mut missing: Vec<IpAddr> = addresses.to_vec();
    for there in link.addrs(None)? {
        if missing.contains(&there.ip) {
            missing.retain(|ip| *ip != there.ip);
        } else if there.scope != SCOPE_LINK {
            link.del_addr(there.ip, there.prefix)?;
        }
    }
    for ip in missing {
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        link.add_addr(ip, Family::of(ip).host_prefix(), flags)?;
    }
    if !link.up {
        link.set_up()?;
    }
    Ok(link)
}

fn make(rtnl: &Rtnl, mtu: u32, kind: &Kind) -> Result<Link> {
    rtnl.create(&LinkSpec {
        mtu: Some(mtu),
        ..LinkSpec::new(NAME, kind.clone())
    })?;
    let made = rtnl.link_by_name(NAME)?;
    made.ok_or_else(|| Error::Settings(format!("somebody else deleted {NAME}")))
}

/// Deletes the link when it is unused. A link that others created stays.
pub fn remove(rtnl: &Rtnl) -> Result<()> {
    match rtnl.link_by_name(NAME)? {
        Some(link) if link.kind == Kind::Vxlan(Vxlan::at(PORT)) => Ok(link.delete()?),
        _ => Ok(()),
    }
}
