//! Routes whose packets go through a tunnel: where to, told by the route itself.

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAttribute, RouteIp6Tunnel, RouteIp6TunnelFlags, RouteIpTunnel, RouteIpTunnelFlags,
    RouteLwEnCapType, RouteLwTunnelEncap,
};

/// The far end of a tunnel, for a link that asks its routes for it ([`crate::link::Kind::Vxlan`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encap {
    /// The network within the tunnel; a VXLAN's identifier.
    pub id: u32,
    /// The address of the far end.
    pub remote: IpAddr,
}

/// UDP over IPv6 has a checksum, which receivers insist on.
const CHECKED: RouteIp6TunnelFlags = RouteIp6TunnelFlags::Key.union(RouteIp6TunnelFlags::Checksum);

impl Encap {
    /// Of a request. The identifier counts only where the flag says that there is one.
    pub(crate) fn attributes(self) -> [RouteAttribute; 2] {
        let id = self.id.into();
        let (kind, items) = match self.remote {
            IpAddr::V4(remote) => (
                RouteLwEnCapType::Ip,
                [
                    RouteIpTunnel::Id(id),
                    RouteIpTunnel::Destination(remote),
                    RouteIpTunnel::Flags(RouteIpTunnelFlags::Key),
                ]
                .map(RouteLwTunnelEncap::Ip),
            ),
            IpAddr::V6(remote) => (
                RouteLwEnCapType::Ip6,
                [
                    RouteIp6Tunnel::Id(id),
                    RouteIp6Tunnel::Destination(remote),
                    RouteIp6Tunnel::Flags(CHECKED),
                ]
                .map(RouteLwTunnelEncap::Ip6),
            ),
        };
        [
            RouteAttribute::EncapType(kind),
            RouteAttribute::Encap(items.to_vec()),
        ]
    }

    /// Of an answer; `None` where it is a tunnel of another kind.
    pub(crate) fn of(items: &[RouteLwTunnelEncap]) -> Option<Self> {
        let (mut id, mut remote) = (0, None);
        for item in items {
            match item {
                RouteLwTunnelEncap::Ip(RouteIpTunnel::Id(told))
                | RouteLwTunnelEncap::Ip6(RouteIp6Tunnel::Id(told)) => {
                    id = u32::try_from(*told).ok()?;
                }
                RouteLwTunnelEncap::Ip(RouteIpTunnel::Destination(ip)) => {
                    remote = Some(IpAddr::V4(*ip));
                }
                RouteLwTunnelEncap::Ip6(RouteIp6Tunnel::Destination(ip)) => {
                    remote = Some(IpAddr::V6(*ip));
                }
                _ => {}
            }
        }
        remote.map(|remote| Self { id, remote })
    }
}
