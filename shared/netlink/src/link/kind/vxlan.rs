//! Settings of a VXLAN.

use netlink_packet_route::link::InfoVxlan;

/// A VXLAN that carries packets of IP without frames around them (VXLAN-GPE), and that asks the route of a packet for the
/// far end ([`crate::encap::Encap`]). So it has neither hardware addresses nor a table of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan {
    /// The port of UDP that it sends to and listens at.
    pub port: u16,
    /// Whether it is as described here. The kernel may tell of one that somebody made otherwise.
    pub is_by_route: bool,
}

impl Vxlan {
    /// One at this port.
    pub fn at(port: u16) -> Self {
        Self {
            port,
            is_by_route: true,
        }
    }

    pub(super) fn data(self) -> Vec<InfoVxlan> {
        vec![
            InfoVxlan::CollectMetadata(self.is_by_route),
            InfoVxlan::Learning(false),
            InfoVxlan::Port(self.port),
            InfoVxlan::Gpe,
        ]
    }

    /// Of the kind's name alone.
    pub(super) const UNTOLD: Self = Self {
        port: 0,
        is_by_route: false,
    };

    pub(super) fn read(&mut self, told: &[InfoVxlan]) {
        let asks = |item: &InfoVxlan| *item == InfoVxlan::CollectMetadata(true);
        let is_bare = |item: &InfoVxlan| *item == InfoVxlan::Gpe;
        self.is_by_route = told.iter().any(asks) && told.iter().any(is_bare);
        for item in told {
            if let InfoVxlan::Port(port) = item {
                self.port = *port;
            }
        }
    }
}
