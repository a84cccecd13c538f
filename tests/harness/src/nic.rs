//! Devices of the host that can be lent: one end of a pair stands for hardware.

use std::os::fd::AsFd;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};

use crate::lab::Lab;

/// The device `name`, up, unless it has been made before. The other end of its wire stays on the host, up, and has these
/// addresses.
pub fn make(lab: &Lab, name: &str, wire: &[(&str, u8)]) {
    let (rtnl, far) = (lab.rtnl(), format!("w-{name}"));
    if rtnl.link_by_name(&far).unwrap().is_some() {
        return;
    }
    let near = LinkSpec::new(name, Kind::Veth);
    rtnl.create_pair(&near, &Peer::new(&*far, lab.host().as_fd()))
        .unwrap();
    let link = |name: &str| -> Link { rtnl.link_by_name(name).unwrap().unwrap() };
    let nodad = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    for (ip, prefix) in wire {
        link(&far)
            .add_addr(ip.parse().unwrap(), *prefix, nodad)
            .unwrap();
    }
    link(&far).set_up().unwrap();
    link(name).set_up().unwrap();
}
