//! The world outside: a namespace on a link of the host's, that knows no way to any container.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Link, VethSpec};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::{Context, Rtnl};
use linkspan_netlink::watch::Watch;

use crate::lab::{Lab, Sandbox};

/// The host's addresses towards the world: documentation prefixes (RFC 5737, RFC 3849).
pub const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The world's own addresses.
pub const WORLD: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// Makes the world, and the host's link to it.
pub fn beyond(lab: &Lab) -> Sandbox {
    let world = lab.sandbox();
    let spec = VethSpec {
        name: "up0".into(),
        controller: None,
        mtu: None,
        peer_name: "eth0".into(),
        peer_mac: None,
        peer_netns: world.netns.as_fd(),
    };
    lab.rtnl().create_veth(&spec).unwrap();
    let near = lab.rtnl().link_by_name("up0").unwrap().unwrap();
    let far = world.rtnl().link_by_name("eth0").unwrap().unwrap();
    for (link, addresses) in [(&near, HOST), (&far, WORLD)] {
        for address in addresses {
            add_address(link, address.parse().unwrap());
        }
    }
    bring_up((lab.host(), &near), (&world.netns, &far));
    world
}

/// Sets both ends of a pair up, and waits until packets can pass: before that the kernel drops them.
pub fn bring_up(near: (&Netns, &Link), far: (&Netns, &Link)) {
    for (_, link) in [near, far] {
        link.set_up().unwrap();
    }
    for (netns, link) in [near, far] {
        let context = Context::new().unwrap();
        let rtnl = Rtnl::open(&context, netns).unwrap();
        let up = || Ok(rtnl.link_by_name(&link.name)?.filter(|link| link.oper_up));
        let mut watch = Watch::open(&context, Some(netns)).unwrap();
        let came_up = watch.until(Duration::from_secs(20), up).unwrap();
        assert!(came_up.is_some(), "{} stays down", link.name);
    }
}

/// Gives a link an address of a network of 24 or 64 bits, usable at once.
pub fn add_address(link: &Link, ip: IpAddr) {
    let flags = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    let prefix = if ip.is_ipv4() { 24 } else { 64 };
    link.add_addr(ip, prefix, flags).unwrap();
}
