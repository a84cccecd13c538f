//! The world outside, for the demonstration and the tests: a namespace on a link of the host, without a route to any
//! container. Its addresses are of the prefixes for documentation (RFC 5737, RFC 3849).

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::error::Error;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::watch::Watch;
use nix::errno::Errno;

/// The host's link to the world.
pub const UPLINK: &str = "up0";

/// The host's addresses towards the world, IPv4 first.
pub const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The world's own addresses, IPv4 first.
pub const WORLD: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// How long a link may take to come up.
const UP_DEADLINE: Duration = Duration::from_secs(20);

/// Makes the world, and the link between it and `host`.
pub fn world(host: &Netns) -> Result<Netns, Error> {
    let world = Netns::create()?;
    let here = Rtnl::open(host)?;
    here.create_pair(
        &LinkSpec::new(UPLINK, Kind::Veth),
        &Peer::new("eth0", world.as_fd()),
    )?;
    let there = Rtnl::open(&world)?;
    let (near, far) = (link(&here, UPLINK)?, link(&there, "eth0")?);
    for (link, addresses) in [(&near, HOST), (&far, WORLD)] {
        for ip in addresses.iter().filter_map(|ip| ip.parse().ok()) {
            add_address(link, ip)?;
        }
    }
    bring_up(&[(host, &near), (&world, &far)])?;
    Ok(world)
}

fn link(rtnl: &Rtnl, name: &str) -> Result<Link, Error> {
    let missing = || Error::new("look up link", name, Errno::ENODEV as i32);
    rtnl.link_by_name(name)?.ok_or_else(missing)
}

/// Gives a link an address of a network of 24 or 64 bits, usable at once.
pub fn add_address(link: &Link, ip: IpAddr) -> Result<(), Error> {
    let flags = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    link.add_addr(ip, if ip.is_ipv4() { 24 } else { 64 }, flags)
}

/// Sets links up, and waits until packets can pass: before that the kernel drops them.
pub fn bring_up(links: &[(&Netns, &Link)]) -> Result<(), Error> {
    for (_, link) in links {
        link.set_up()?;
    }
    for (netns, link) in links {
        let rtnl = Rtnl::open(netns)?;
        let up = || Ok(rtnl.link_by_name(&link.name)?.filter(|link| link.oper_up));
        let came_up = Watch::open(Some(netns))?.until(UP_DEADLINE, up)?;
        if came_up.is_none() {
            let late = Errno::ETIMEDOUT as i32;
            return Err(Error::new("wait for link", &link.name, late));
        }
    }
    Ok(())
}
