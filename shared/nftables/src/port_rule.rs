//! Rules about ports, as other suites write them.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A rule's conditions on ports, and where it leads. Its other conditions are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortRule {
    /// The number that deletes it; 0 in the older packet filter.
    pub handle: u64,
    /// Its comment.
    pub comment: String,
    /// The protocol's number; absent for all.
    pub protocol: Option<u8>,
    /// Destination ports; empty for all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Destination address; absent for all, and where it is more than one.
    pub destination: Option<IpAddr>,
    /// The chain that it jumps to.
    pub jump: Option<String>,
    /// The address that it puts in the place of the destination, and the port where it changes that.
    pub dnat: Option<(IpAddr, Option<u16>)>,
}

impl PortRule {
    /// Whether a packet of the protocol to that port can meet it.
    pub fn admits(&self, protocol: u8, port: u16) -> bool {
        let any = self.ports.is_empty();
        self.protocol.is_none_or(|own| own == protocol)
            && (any || self.ports.iter().any(|range| range.contains(&port)))
    }
}

/// An address of either family, by its length.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(*value.first_chunk::<4>()?)),
        16 => Some(IpAddr::from(*value.first_chunk::<16>()?)),
        _ => None,
    }
}
