//! Rules about ports, in the form of other suites.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A rule's conditions on ports, and its destination. Other conditions are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortRule {
    /// The number for its deletion; 0 in iptables-legacy.
    pub handle: u64,
    /// Its comment.
    pub comment: String,
    /// The protocol's number; `None` for all protocols.
    pub protocol: Option<u8>,
    /// Destination ports; empty for all ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Destination address; `None` for all addresses, and for a range.
    pub destination: Option<IpAddr>,
    /// The target chain of its jump.
    pub jump: Option<String>,
    /// The new destination address, and the new port if the rule changes the port.
    pub dnat: Option<(IpAddr, Option<u16>)>,
}

impl PortRule {
    /// Returns whether a packet of the protocol to that port can match the rule.
    pub fn admits(&self, protocol: u8, port: u16) -> bool {
        let any = self.ports.is_empty();
        self.protocol.is_none_or(|own| own == protocol)
            && (any || self.ports.iter().any(|range| range.contains(&port)))
    }
}

/// An address; its length tells the family.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(*value.first_chunk::<4>()?)),
        16 => Some(IpAddr::from(*value.first_chunk::<16>()?)),
        _ => None,
    }
}
