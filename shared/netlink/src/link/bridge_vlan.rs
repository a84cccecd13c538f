//! VLANs of bridges and of their ports.

use std::ops::RangeInclusive;

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags as Flags, InfoBridge, InfoData,
    InfoKind, LinkAttribute, LinkExtentMask, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Link, message};
use crate::error::Error;
use crate::request::Attempt;

/// The valid VLAN numbers.
pub const VLAN_IDS: RangeInclusive<u16> = 1..=4094;

/// A bridge's VLAN filtering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filtering {
    /// Whether the bridge filters by VLAN. If off, it only stores the VLANs of its ports.
    pub on: bool,
    /// The VLAN of a new port.
    pub default: Option<u16>,
}

impl Filtering {
    /// Decodes a bridge's settings; `None` if the kernel lacks VLANs of bridges.
    pub(super) fn of(told: &[InfoBridge]) -> Option<Self> {
        let (mut on, mut default) = (false, None);
        for item in told {
            match item {
                InfoBridge::VlanFiltering(is_on) => on = *is_on,
                InfoBridge::VlanDefaultPvid(id) => default = Some(*id),
                _ => {}
            }
        }
        let default = default?;
        Some(Self {
            on,
            default: Some(default).filter(|id| VLAN_IDS.contains(id)),
        })
    }
}

/// A VLAN of a bridge's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortVlan {
    /// Its number.
    pub id: u16,
    /// Whether untagged frames that come in by the port belong to this VLAN.
    pub pvid: bool,
    /// Whether its frames leave by the port untagged.
    pub untagged: bool,
}

impl PortVlan {
    fn flags(self) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::Pvid, self.pvid);
        flags.set(Flags::Untagged, self.untagged);
        flags
    }
}

impl Link {
    /// The VLANs of the port, in the order of their numbers. The kernel sends those of all ports.
    pub fn vlans(&self) -> Result<Vec<PortVlan>, Error> {
        let mask = LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]);
        let request = RouteNetlinkMessage::GetLink(of_bridges(0, vec![mask]));
        let found = self
            .rtnl
            .dump(Attempt("list", "VLANs of bridge ports"), &request)?;
        let of_port = |answer| port_vlans(answer).filter(|(index, _)| *index == self.index);
        let mut vlans: Vec<_> = found.into_iter().filter_map(of_port).collect();
        Ok(vlans.pop().map(|(_, vlans)| vlans).unwrap_or_default())
    }

    /// Makes the port a member of VLANs, in their order. An existing membership takes the new flags, and a port has
    /// one VLAN for untagged frames.
    pub fn add_vlans(&self, vlans: &[PortVlan]) -> Result<(), Error> {
        let request = RouteNetlinkMessage::SetLink(self.with(&infos(vlans)));
        self.rtnl
            .change(Attempt("set VLANs of", &self.name), 0, request)
    }

    /// Removes the port from a VLAN.
    pub fn leave_vlan(&self, id: u16) -> Result<(), Error> {
        let info = BridgeVlanInfo {
            flags: Flags::empty(),
            vid: id,
        };
        let request = RouteNetlinkMessage::DelLink(self.with(&[info]));
        self.rtnl
            .change(Attempt("remove a VLAN of", &self.name), 0, request)
    }

    /// Switches the bridge's VLAN filtering on.
    pub fn filter_vlans(&self) -> Result<(), Error> {
        let message = message(self.index, vec![LinkAttribute::LinkInfo(filtering())]);
        let attempt = Attempt("switch on VLAN filtering of", &self.name);
        self.rtnl
            .change(attempt, 0, RouteNetlinkMessage::NewLink(message))
    }

    fn with(&self, infos: &[BridgeVlanInfo]) -> LinkMessage {
        let mut spec = vec![AfSpecBridge::Flags(BridgeFlag::Controller)];
        spec.extend(infos.iter().copied().map(AfSpecBridge::VlanInfo));
        of_bridges(self.index, vec![LinkAttribute::AfSpecBridge(spec)])
    }
}

/// The attributes that switch a bridge's VLAN filtering on.
pub(super) fn filtering() -> Vec<LinkInfo> {
    let on = InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]);
    vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(on)]
}

fn of_bridges(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = message(index, attributes);
    message.header.interface_family = AddressFamily::Bridge;
    message
}

/// VLANs in the kernel's form: a run of numbers with equal flags becomes its first and its last number. The VLAN of
/// untagged frames stands alone.
fn infos(vlans: &[PortVlan]) -> Vec<BridgeVlanInfo> {
    let is_run = |one: &PortVlan, next: &PortVlan| {
        let alike = one.untagged == next.untagged && !one.pvid && !next.pvid;
        alike && one.id.checked_add(1) == Some(next.id)
    };
    let mut infos = Vec::new();
    for run in vlans.chunk_by(is_run) {
        let info = |vlan: &PortVlan, mark| BridgeVlanInfo {
            flags: vlan.flags() | mark,
            vid: vlan.id,
        };
        match run {
            [one] => infos.push(info(one, Flags::empty())),
            [first, .., last] => {
                infos.push(info(first, Flags::RangeBegin));
                infos.push(info(last, Flags::RangeEnd));
            }
            [] => {}
        }
    }
    infos
}

/// The index of a port and its VLANs. Returns `None` for any other message type.
pub fn port_vlans(answer: RouteNetlinkMessage) -> Option<(u32, Vec<PortVlan>)> {
    let RouteNetlinkMessage::NewLink(message) = answer else {
        return None;
    };
    if message.header.interface_family != AddressFamily::Bridge {
        return None;
    }
    let mut vlans = Vec::new();
    for attribute in &message.attributes {
        if let LinkAttribute::AfSpecBridge(spec) = attribute {
            vlans.extend(members(spec));
        }
    }
    Some((message.header.index, vlans))
}

/// A run without an end, or with an end before its start, is empty. The result is bounded by the valid numbers,
/// however many runs a message has.
fn members(spec: &[AfSpecBridge]) -> Vec<PortVlan> {
    let (mut vlans, mut begun) = (Vec::new(), None);
    for item in spec {
        let AfSpecBridge::VlanInfo(info) = item else {
            continue;
        };
        if info.flags.contains(Flags::RangeBegin) {
            begun = Some(info.vid);
            continue;
        }
        let first = match begun.take() {
            Some(first) if info.flags.contains(Flags::RangeEnd) => first,
            _ => info.vid,
        };
        let run = first.max(*VLAN_IDS.start())..=info.vid.min(*VLAN_IDS.end());
        let rest = VLAN_IDS.len().saturating_sub(vlans.len());
        vlans.extend(run.take(rest).map(|id| PortVlan {
            id,
            pvid: info.flags.contains(Flags::Pvid),
            untagged: info.flags.contains(Flags::Untagged),
        }));
    }
    vlans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(id: u16) -> PortVlan {
        PortVlan {
            id,
            pvid: false,
            untagged: false,
        }
    }

    fn access(id: u16) -> PortVlan {
        PortVlan {
            id,
            pvid: true,
            untagged: true,
        }
    }

    fn read(infos: &[BridgeVlanInfo]) -> Vec<PortVlan> {
        let spec = infos.iter().copied().map(AfSpecBridge::VlanInfo);
        let attributes = vec![LinkAttribute::AfSpecBridge(spec.collect())];
        let answer = RouteNetlinkMessage::NewLink(of_bridges(7, attributes));
        let (index, vlans) = port_vlans(answer).unwrap();
        assert_eq!(index, 7);
        vlans
    }

    #[test]
    fn runs_are_told_by_their_ends_and_read_back() {
        let vlans = [
            access(1),
            tagged(2),
            tagged(3),
            tagged(4),
            tagged(9),
            tagged(4093),
            tagged(4094),
        ];
        let infos = infos(&vlans);
        assert_eq!(infos.len(), 1 + 2 + 1 + 2);
        assert_eq!(read(&infos), vlans);
        let all: Vec<_> = VLAN_IDS.map(tagged).collect();
        let infos = super::infos(&all);
        assert_eq!((infos.len(), read(&infos)), (2, all));
    }

    #[test]
    fn what_cannot_be_is_not_read() {
        let info = |flags, vid| BridgeVlanInfo { flags, vid };
        for (infos, expected) in [
            (vec![info(Flags::RangeBegin, 5)], vec![]),
            (
                vec![info(Flags::RangeBegin, 9), info(Flags::RangeEnd, 5)],
                vec![],
            ),
            (vec![info(Flags::RangeEnd, 5)], vec![tagged(5)]),
            (
                vec![
                    info(Flags::RangeBegin, 4093),
                    info(Flags::RangeEnd, u16::MAX),
                ],
                vec![tagged(4093), tagged(4094)],
            ),
            (vec![info(Flags::empty(), 0)], vec![]),
        ] {
            assert_eq!(read(&infos), expected, "{infos:?}");
        }
    }

    #[test]
    fn a_kernel_without_vlans_tells_no_default() {
        let on = InfoBridge::VlanFiltering(true);
        assert_eq!(Filtering::of(std::slice::from_ref(&on)), None);
        for (id, default) in [(0, None), (1, Some(1)), (4095, None)] {
            let told = [on.clone(), InfoBridge::VlanDefaultPvid(id)];
            assert_eq!(Filtering::of(&told), Some(Filtering { on: true, default }));
        }
    }
}
