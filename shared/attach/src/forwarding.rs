//! Routing between interfaces, in the namespace that the thread is in.

use std::net::IpAddr;
use std::path::Path;

use linkspan_plugin::Result;

use crate::sysctl;

/// Lets the host route the family of `like`.
pub fn enable(like: IpAddr) -> Result<()> {
    let path = match like {
        IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    sysctl::set(Path::new(path), "1")
        .map_err(|failure| failure.context("failed to enable forwarding"))
}
