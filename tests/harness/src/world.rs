//! The world outside, as the demonstration has it.

use std::net::IpAddr;

use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_runtime::outside;

pub use linkspan_runtime::outside::{HOST, WORLD};

use crate::lab::{Lab, Sandbox};

/// Makes the world, and the host's link `up0` to it.
pub fn beyond(lab: &Lab) -> Sandbox {
    Sandbox {
        netns: outside::beyond(lab.host()).unwrap(),
    }
}

/// Gives a link an address of a network of 24 or 64 bits, usable at once.
pub fn add_address(link: &Link, ip: IpAddr) {
    outside::add_address(link, ip).unwrap();
}

/// Sets both ends of a pair up, and waits until packets can pass.
pub fn bring_up(near: (&Netns, &Link), far: (&Netns, &Link)) {
    outside::bring_up(&[near, far]).unwrap();
}
