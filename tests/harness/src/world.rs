//! The world outside, as in the demonstration, and further stations on links of the host.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_cli::outside;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;

pub use linkspan_cli::outside::{HOST, WORLD};

use crate::lab::{Lab, Sandbox};

/// The host's addresses towards [`another_node`], IPv4 first.
pub const SIDE: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];

/// The other node's addresses, IPv4 first.
pub const OTHER: [&str; 2] = ["198.51.100.2", "2001:db8:1::2"];

/// A pair of links between the host and a station whose end is `eth0`.
#[derive(Debug, Clone, Copy)]
pub struct Cable<'a> {
    /// The host's end.
    pub name: &'a str,
    /// Index of the bridge that the host's end is a port of.
    pub bridge: Option<u32>,
    /// The host's addresses on it.
    pub near: &'a [&'a str],
    /// The station's addresses.
    pub far: &'a [&'a str],
}

/// Makes the world, and the host's link `up0` to it.
pub fn beyond(lab: &Lab) -> Sandbox {
    Sandbox::new(outside::world(lab.host()).unwrap())
}

/// Another node behind the host, on the host's link `side0`. It and the world have routes to each other.
pub fn another_node(lab: &Lab, world: &Sandbox) -> Sandbox {
    let other = lab.sandbox();
    let cable = Cable {
        name: "side0",
        bridge: None,
        near: &SIDE,
        far: &OTHER,
    };
    plug(lab, &other, cable);
    lead(&other, "eth0", &SIDE);
    lead(world, "eth0", &HOST);
    other
}

/// Connects a station to a link of the host.
pub fn plug(lab: &Lab, far: &Sandbox, cable: Cable<'_>) {
    let here = lab.rtnl();
    here.create_pair(
        &LinkSpec {
            controller: cable.bridge,
            ..LinkSpec::new(cable.name, Kind::Veth)
        },
        &Peer::new("eth0", far.netns.as_fd()),
    )
    .unwrap();
    let near = here.link_by_name(cable.name).unwrap().unwrap();
    let there = far.rtnl().link_by_name("eth0").unwrap().unwrap();
    for (link, addresses) in [(&near, cable.near), (&there, cable.far)] {
        for address in addresses {
            add_address(link, address.parse().unwrap());
        }
    }
    bring_up((lab.host(), &near), (&far.netns, &there));
}

/// Adds default routes through gateways to a namespace, by its link with that name.
pub fn lead(from: &Sandbox, link: &str, gateways: &[&str]) {
    let link = from.rtnl().link_by_name(link).unwrap().unwrap();
    for gateway in gateways {
        let gateway: IpAddr = gateway.parse().unwrap();
        let everywhere = Family::of(gateway).unspecified();
        link.add_route(&RouteSpec {
            gw: Some(gateway),
            ..RouteSpec::to(everywhere, 0)
        })
        .unwrap();
    }
}

/// Sets a key below `/proc/sys/net` in a namespace.
pub fn set_sysctl(netns: &Netns, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    netns.scope(|| fs::write(path, value)).unwrap().unwrap();
}

/// Gives a link an address of a network of 24 or 64 bits, usable at once.
pub fn add_address(link: &Link, ip: IpAddr) {
    outside::add_address(link, ip).unwrap();
}

/// Sets both ends of a pair up, and waits until packets can pass.
pub fn bring_up(near: (&Netns, &Link), far: (&Netns, &Link)) {
    outside::bring_up(&[near, far]).unwrap();
}
