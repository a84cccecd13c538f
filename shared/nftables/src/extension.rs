//! Extensions of iptables-legacy for ports: the matches `tcp`, `udp`, `sctp`, `multiport` and `comment`, and the target
//! `DNAT`. Their layouts are in `linux/netfilter/xt_*.h` and `nf_nat.h`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use linkspan_protocol::family::Family;

use crate::port_rule::{PortRule, address};

/// A match or a target.
#[derive(Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    /// The layout of the data.
    pub(crate) revision: u32,
    /// The family of the extension.
    pub(crate) family: Family,
    pub(crate) data: &'a [u8],
}

/// `XT_TCP_INV_DSTPT`, `XT_UDP_INV_DSTPT`
const INVERTED: u8 = 2;

impl Extension<'_> {
    /// Adds the conditions of a match. An inverted match adds no ports.
    pub(crate) fn narrow(&self, rule: &mut PortRule) {
        let ports = match self.name {
            "comment" => {
                rule.comment = until_nul(self.data).unwrap_or_default();
                None
            }
            "tcp" => self.range(4, Some(11)),
            "udp" => self.range(4, Some(8)),
            "sctp" => self.range(0, None),
            "multiport" => self.multiport(),
            _ => None,
        };
        rule.ports.extend(ports.unwrap_or_default());
    }

    /// Adds the destination of a target.
    pub(crate) fn translate(&self, rule: &mut PortRule) {
        if self.name == "DNAT" {
            rule.dnat = self.dnat();
        }
    }

    /// The range between two ports in host byte order; `None` for all ports.
    fn range(&self, offset: usize, flags: Option<usize>) -> Option<Vec<RangeInclusive<u16>>> {
        let (first, last) = (self.port(offset)?, self.port(offset + 2)?);
        let flags = flags.map_or(Some(0), |at| self.data.get(at).copied())?;
        let narrows = flags & INVERTED == 0 && (first, last) != (0, u16::MAX);
        narrows.then(|| vec![first..=last])
    }

    /// `struct xt_multiport_v1`: flags, count, fifteen ports, fifteen flags for starts of ranges, inversion.
    fn multiport(&self) -> Option<Vec<RangeInclusive<u16>>> {
        const DESTINATION: u8 = 1;
        const PORTS: usize = 2;
        const MARKS: usize = PORTS + 15 * 2;
        const INVERT: usize = MARKS + 15;
        let (flags, count) = (*self.data.first()?, usize::from(*self.data.get(1)?));
        if self.revision != 1 || flags != DESTINATION || *self.data.get(INVERT)? != 0 {
            return None;
        }
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < count.min(15) {
            let first = self.port(PORTS + at * 2)?;
            at += usize::from(*self.data.get(MARKS + at)? != 0);
            ranges.push(first..=self.port(PORTS + at * 2)?);
            at += 1;
        }
        Some(ranges)
    }

    /// `struct nf_nat_ipv4_multi_range_compat`, `nf_nat_range` or `nf_nat_range2`.
    fn dnat(&self) -> Option<(IpAddr, Option<u16>)> {
        const ADDRESS: u32 = 1;
        const PORT: u32 = 2;
        // The newer structs have room for two addresses of either family.
        let (flags_at, ip_at, port_at) = match self.revision {
            0 => (4, 8, 16),
            _ => (0, 4, 4 + 2 * 16),
        };
        let len = self.family.pick(4, 16);
        let flags = u32::from_ne_bytes(*self.data.get(flags_at..)?.first_chunk()?);
        let ip = address(self.data.get(ip_at..ip_at + len)?)?;
        let port = self.data.get(port_at..)?.first_chunk().copied();
        let port = port.filter(|_| flags & PORT != 0).map(u16::from_be_bytes);
        (flags & ADDRESS != 0).then_some((ip, port))
    }

    fn port(&self, offset: usize) -> Option<u16> {
        let bytes = self.data.get(offset..)?.first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    }
}

/// The text before the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, revision: u32, data: &[u8]) -> PortRule {
        let mut rule = PortRule::default();
        let extension = Extension {
            name,
            revision,
            family: Family::V4,
            data,
        };
        extension.narrow(&mut rule);
        extension.translate(&mut rule);
        rule
    }

    /// Current programs do not write these layouts. The suites test the others with the real programs.
    #[test]
    fn ranges_inversions_and_the_oldest_layout_of_dnat_are_read() {
        let mut multiport = [0; 48];
        multiport[..2].copy_from_slice(&[1, 3]);
        for (at, port) in [80u16, 100, 200].into_iter().enumerate() {
            multiport[2 + at * 2..4 + at * 2].copy_from_slice(&port.to_ne_bytes());
        }
        multiport[32 + 1] = 1;
        let ports = |data: &[u8]| rule("multiport", 1, data).ports;
        assert_eq!(ports(&multiport), [80..=80, 100..=200]);
        assert!(ports(&multiport[..47]).is_empty());
        multiport[47] = 1;
        assert!(ports(&multiport).is_empty());

        let mut udp = [0; 10];
        udp[4..6].copy_from_slice(&53u16.to_ne_bytes());
        udp[6..8].copy_from_slice(&53u16.to_ne_bytes());
        assert_eq!(rule("udp", 0, &udp).ports, [53..=53]);
        udp[8] = INVERTED;
        assert!(rule("udp", 0, &udp).ports.is_empty());

        let mut dnat = [0; 20];
        dnat[4..8].copy_from_slice(&3u32.to_ne_bytes());
        dnat[8..12].copy_from_slice(&[10, 1, 0, 2]);
        dnat[16..18].copy_from_slice(&80u16.to_be_bytes());
        let to = rule("DNAT", 0, &dnat).dnat;
        assert_eq!(to, Some(([10, 1, 0, 2].into(), Some(80))));
    }
}
