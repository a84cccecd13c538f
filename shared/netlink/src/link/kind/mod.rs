//! Kinds of links, with the settings of each: encoding and decoding.

mod ipvlan;
mod macvlan;
mod netkit;
mod tun;
mod vlan;
mod vxlan;

use std::fmt;

use netlink_packet_route::link::{InfoData, InfoKind, InfoNetkit, InfoVeth, InfoVrf, LinkMessage};

pub use ipvlan::{Ipvlan, IpvlanMode, IpvlanReach};
pub use macvlan::{Macvlan, MacvlanMode};
pub use netkit::Netkit;
pub use tun::Tun;
pub use vlan::{QosMap, Vlan, VlanProtocol};
pub use vxlan::Vxlan;

/// The kind of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Hardware, or loopback.
    None,
    /// Forwards frames between its ports.
    Bridge,
    /// Drops every packet.
    Dummy,
    /// Sends packets back, so that a queueing discipline can apply to incoming ones.
    Ifb,
    /// One end of a pair.
    Veth,
    /// One end of a pair that BPF programs can be attached to.
    Netkit(Netkit),
    /// A link with a hardware address of its own on another link.
    Macvlan(Macvlan),
    /// A link that shares the hardware address of another link.
    Ipvlan(Ipvlan),
    /// The frames of one VLAN on another link.
    Vlan(Vlan),
    /// A separate routing table for its ports.
    Vrf {
        /// The table's number.
        table: u32,
    },
    /// A tunnel over UDP. Its routes name the far ends.
    Vxlan(Vxlan),
    /// A device of user space. It is created through `/dev/net/tun`, not rtnetlink.
    Tun(Tun),
    /// Another kind, by name.
    Other(String),
}

impl Kind {
    /// The kind's name in `ip link`; empty for hardware and loopback.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "",
            Self::Bridge => "bridge",
            Self::Dummy => "dummy",
            Self::Ifb => "ifb",
            Self::Veth => "veth",
            Self::Netkit(_) => "netkit",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
            Self::Vlan(_) => "vlan",
            Self::Vrf { .. } => "vrf",
            Self::Vxlan(_) => "vxlan",
            Self::Tun(_) => "tun",
            Self::Other(name) => name,
        }
    }

    /// Returns whether a link of this kind is one end of a pair.
    pub fn is_pair(&self) -> bool {
        matches!(self, Self::Veth | Self::Netkit(_))
    }

    pub(super) fn number(&self) -> InfoKind {
        match self {
            Self::None => InfoKind::Other(String::new()),
            Self::Bridge => InfoKind::Bridge,
            Self::Dummy => InfoKind::Dummy,
            Self::Ifb => InfoKind::Ifb,
            Self::Veth => InfoKind::Veth,
            Self::Netkit(_) => InfoKind::Netkit,
            Self::Macvlan(_) => InfoKind::MacVlan,
            Self::Ipvlan(_) => InfoKind::IpVlan,
            Self::Vlan(_) => InfoKind::Vlan,
            Self::Vrf { .. } => InfoKind::Vrf,
            Self::Vxlan(_) => InfoKind::Vxlan,
            Self::Tun(_) => InfoKind::Tun,
            Self::Other(name) => InfoKind::Other(name.clone()),
        }
    }

    /// The settings of a request.
    pub(super) fn data(&self) -> Option<InfoData> {
        Some(match self {
            Self::Netkit(netkit) => InfoData::Netkit(netkit.data()),
            Self::Macvlan(macvlan) => InfoData::MacVlan(macvlan.data()),
            Self::Ipvlan(ipvlan) => InfoData::IpVlan(ipvlan.data()),
            Self::Vlan(vlan) => InfoData::Vlan(vlan.data()),
            Self::Vxlan(vxlan) => InfoData::Vxlan(vxlan.data()),
            Self::Vrf { table } => InfoData::Vrf(vec![InfoVrf::TableId(*table)]),
            _ => return None,
        })
    }

    /// The settings of a request for a pair with that far end. `None` for a kind whose links are not ends of pairs.
    pub(super) fn pair_data(&self, far: LinkMessage) -> Option<InfoData> {
        Some(match self {
            Self::Veth => InfoData::Veth(InfoVeth::Peer(far)),
            Self::Netkit(netkit) => {
                let mut data = netkit.data();
                data.push(InfoNetkit::Peer(far));
                InfoData::Netkit(data)
            }
            _ => return None,
        })
    }

    /// The kind with this name, with default settings.
    pub(super) fn of(kind: &InfoKind) -> Self {
        match kind {
            InfoKind::Bridge => Self::Bridge,
            InfoKind::Dummy => Self::Dummy,
            InfoKind::Ifb => Self::Ifb,
            InfoKind::Veth => Self::Veth,
            InfoKind::Netkit => Self::Netkit(Netkit::OPEN),
            InfoKind::MacVlan => Self::Macvlan(Macvlan::UNTOLD),
            InfoKind::IpVlan => Self::Ipvlan(Ipvlan::UNTOLD),
            InfoKind::Vlan => Self::Vlan(Vlan::of(0)),
            InfoKind::Vrf => Self::Vrf { table: 0 },
            InfoKind::Vxlan => Self::Vxlan(Vxlan::UNTOLD),
            InfoKind::Tun => Self::Tun(Tun::default()),
            other => Self::Other(other.to_string()),
        }
    }

    /// Reads the settings, which follow the kind's name.
    pub(super) fn read(&mut self, data: InfoData) {
        match (self, data) {
            (Self::Netkit(netkit), InfoData::Netkit(data)) => netkit.read(data),
            (Self::Macvlan(macvlan), InfoData::MacVlan(data)) => macvlan.read(data),
            (Self::Ipvlan(ipvlan), InfoData::IpVlan(data)) => ipvlan.read(data),
            (Self::Vlan(vlan), InfoData::Vlan(data)) => vlan.read(data),
            (Self::Vrf { table }, InfoData::Vrf(data)) => {
                for item in data {
                    if let InfoVrf::TableId(number) = item {
                        *table = number;
                    }
                }
            }
            (Self::Vxlan(vxlan), InfoData::Vxlan(data)) => vxlan.read(&data),
            (Self::Tun(tun), InfoData::Tun(data)) => tun.read(data),
            _ => {}
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<str> for Kind {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for Kind {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}
