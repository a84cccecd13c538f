//! Routing between interfaces, in the namespace that the thread is in.

use std::net::IpAddr;
use std::path::Path;

use linkspan_plugin::Result;

use crate::sysctl;
use crate::verify::same;

/// Lets the host route the family of `like`.
pub fn enable(like: IpAddr) -> Result<()> {
    sysctl::set(switch(like), "1").map_err(|failure| failure.context("failed to enable forwarding"))
}

/// The host routes the family of `like`.
pub fn verify(like: IpAddr) -> Result<()> {
    let path = switch(like);
    same(path.display(), "1", &sysctl::get(path)?)
}

fn switch(like: IpAddr) -> &'static Path {
    Path::new(match like {
        IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    })
}
