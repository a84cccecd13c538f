//! Routing sysctls of a link, which the kernel reports along with the link, without a file to read.

use linkspan_protocol::family::{Family, PerFamily};
use netlink_packet_route::link::{AfSpecInet, AfSpecInet6, AfSpecUnspec, Inet6IfaceFlags};

/// The routing sysctls of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routing {
    /// `net.ipv4.conf.LINK.forwarding` and `net.ipv6.conf.LINK.forwarding`
    pub forwards: PerFamily<bool>,
    /// `net.ipv6.conf.LINK.accept_ra`
    pub accept_ra: i32,
    /// Whether the link has IPv6. A kernel without it has none, nor has a link with a small MTU.
    pub has_ipv6: bool,
    /// Whether a router has sent the link an advertisement.
    pub heard_router: bool,
}

impl Routing {
    /// Returns whether the link's own switch for the family is on.
    pub fn forwards(self, family: Family) -> bool {
        self.forwards.of_family(family)
    }

    pub(crate) fn of(families: Vec<AfSpecUnspec>) -> Self {
        let mut routing = Self::default();
        for family in families {
            match family {
                AfSpecUnspec::Inet(parts) => {
                    for part in parts {
                        routing.read_v4(&part);
                    }
                }
                AfSpecUnspec::Inet6(parts) => {
                    for part in parts {
                        routing.read_v6(&part);
                    }
                }
                _ => {}
            }
        }
        routing
    }

    fn read_v4(&mut self, part: &AfSpecInet) {
        if let AfSpecInet::DevConf(conf) = part {
            self.forwards.v4 = conf.forwarding != 0;
        }
    }

    fn read_v6(&mut self, part: &AfSpecInet6) {
        match part {
            AfSpecInet6::DevConf(conf) => {
                self.has_ipv6 = true;
                self.forwards.v6 = conf.forwarding != 0;
                self.accept_ra = conf.accept_ra;
            }
            AfSpecInet6::Flags(flags) => {
                self.heard_router = flags.contains(Inet6IfaceFlags::RaRcvd);
            }
            _ => {}
        }
    }
}
