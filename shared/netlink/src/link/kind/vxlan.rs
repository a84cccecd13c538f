//! Settings of a VXLAN.

use netlink_packet_route::link::InfoVxlan;

/// A VXLAN for plain IP packets (VXLAN-GPE) that takes the far end from the packet's route ([`crate::encap::Encap`]).
/// So it needs neither hardware addresses nor a forwarding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan {
    /// The UDP port that it sends to and listens on.
    pub port: u16,
    /// Whether it has this form. The kernel also reports VXLANs of other forms.
    pub is_by_route: bool,
}

impl Vxlan {
    /// A VXLAN of this form, with this port.
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

    /// The defaults, before the kernel's settings are read.
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
