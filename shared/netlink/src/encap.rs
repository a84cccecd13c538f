//! Routes whose packets go through a tunnel. The route itself names the far end.

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAttribute, RouteIp6Tunnel, RouteIp6TunnelFlags, RouteIpTunnel, RouteIpTunnelFlags,
    RouteLwEnCapType, RouteLwTunnelEncap,
};

/// The far end of a tunnel, for a link that takes it from its routes ([`crate::link::Kind::Vxlan`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encap {
    /// The tunnel's identifier, such as a VXLAN's VNI.
    pub id: u32,
    /// The address of the far end.
    pub remote: IpAddr,
}

/// UDP over IPv6 with a checksum, which receivers require.
const CHECKED: RouteIp6TunnelFlags = RouteIp6TunnelFlags::Key.union(RouteIp6TunnelFlags::Checksum);

impl Encap {
    /// The attributes of a request. The kernel reads the identifier only with its flag.
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

    /// Decodes an answer; `None` for another kind of tunnel.
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
