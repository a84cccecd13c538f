//! Devices of the host to lend: one end of a pair acts as hardware.

use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rule::Rule;
use linkspan_protocol::family::Family;

use crate::lab::Lab;

/// The device `name`, up, created if missing. The other end of its wire stays on the host, up, with these addresses.
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

/// Gives the device an address of a /24, a route to another one, and a rule for that, unless it has them or is lent.
pub fn configure(lab: &Lab, name: &str, ip: &str, dst: &str) {
    const TABLE: u32 = 77;
    let Some(link) = lab.rtnl().link_by_name(name).unwrap() else {
        return;
    };
    let ip: IpAddr = ip.parse().unwrap();
    let present = link.addrs(Some(Family::of(ip))).unwrap();
    if present.iter().any(|addr| addr.ip == ip) {
        return;
    }
    link.add_addr(ip, 24, AddrFlags::default()).unwrap();
    let route = RouteSpec {
        table: Some(TABLE),
        ..RouteSpec::to(dst.parse().unwrap(), 24)
    };
    link.replace_route(&route).unwrap();
    let mut rule = Rule::of_table(Family::of(ip), TABLE);
    rule.src = Some((ip, Family::of(ip).host_prefix()));
    lab.rtnl().add_rule(&rule).unwrap();
}
