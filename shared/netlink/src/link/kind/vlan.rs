//! Settings of a VLAN.

use netlink_packet_route::link::{InfoVlan, VlanProtocol as Protocol, VlanQosMapping};

/// Settings of a VLAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// VLAN number.
    pub id: u16,
    /// Tag format.
    pub protocol: VlanProtocol,
    /// Priorities of outgoing packets, mapped to priorities in the tag.
    pub egress: Vec<QosMap>,
    /// Priorities in the tag, mapped to priorities of incoming packets.
    pub ingress: Vec<QosMap>,
}

/// The tag format of a VLAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VlanProtocol {
    /// IEEE 802.1Q
    #[default]
    Q,
    /// IEEE 802.1ad, for tags in front of other tags.
    Ad,
}

/// A mapping of one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QosMap {
    /// The priority.
    pub from: u32,
    /// The new priority.
    pub to: u32,
}

impl Vlan {
    /// A VLAN with IEEE 802.1Q tags, without priorities.
    pub fn of(id: u16) -> Self {
        Self {
            id,
            protocol: VlanProtocol::Q,
            egress: Vec::new(),
            ingress: Vec::new(),
        }
    }
}

impl Vlan {
    pub(super) fn data(&self) -> Vec<InfoVlan> {
        let protocol = match self.protocol {
            VlanProtocol::Q => Protocol::Ieee8021Q,
            VlanProtocol::Ad => Protocol::Ieee8021Ad,
        };
        let mut data = vec![InfoVlan::Id(self.id), InfoVlan::Protocol(protocol)];
        let mapping = |map: &QosMap| VlanQosMapping::Mapping(map.from, map.to);
        let maps = |maps: &[QosMap]| maps.iter().map(mapping).collect();
        if !self.egress.is_empty() {
            data.push(InfoVlan::EgressQos(maps(&self.egress)));
        }
        if !self.ingress.is_empty() {
            data.push(InfoVlan::IngressQos(maps(&self.ingress)));
        }
        data
    }

    pub(super) fn read(&mut self, told: Vec<InfoVlan>) {
        for item in told {
            self.read_one(item);
        }
    }

    fn read_one(&mut self, item: InfoVlan) {
        let maps = |told: Vec<VlanQosMapping>| -> Vec<QosMap> {
            let map = |mapping| match mapping {
                VlanQosMapping::Mapping(from, to) => Some(QosMap { from, to }),
                _ => None,
            };
            told.into_iter().filter_map(map).collect()
        };
        match item {
            InfoVlan::Id(id) => self.id = id,
            InfoVlan::Protocol(Protocol::Ieee8021Ad) => self.protocol = VlanProtocol::Ad,
            InfoVlan::EgressQos(told) => self.egress = maps(told),
            InfoVlan::IngressQos(told) => self.ingress = maps(told),
            _ => {}
        }
    }
}
