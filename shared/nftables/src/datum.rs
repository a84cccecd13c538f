//! Keys and values of sets and maps in nf_tables' layout: fields of a concatenation, each padded to a multiple of four
//! bytes, in network byte order.

use std::net::IpAddr;

use linkspan_protocol::addr::{MacAddr, number};
use linkspan_protocol::family::Family;

/// The type of a field. Its number is nft's (include/datatype.h); the kernel only stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum {
    /// `ipv4_addr`
    Ipv4,
    /// `ipv6_addr`
    Ipv6,
    /// `inet_proto`: a protocol of the transport layer.
    Protocol,
    /// `inet_service`: a port.
    Port,
    /// `ifname`
    IfName,
    /// `mark`: a packet mark.
    Mark,
    /// `devgroup`: the group of a link.
    Group,
    /// `ether_addr`: a hardware address.
    Ether,
}

/// Bytes of an interface's name (`IFNAMSIZ`).
pub(crate) const IFNAME_SIZE: usize = 16;

impl Datum {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Protocol,
        Self::Port,
        Self::IfName,
        Self::Mark,
        Self::Group,
        Self::Ether,
    ];

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::IfName => 41,
            Self::Mark => 19,
            Self::Group => 35,
            Self::Ether => 9,
        }
    }

    /// Returns whether the field is in host byte order, like the kernel's own numbers. `nft` treats names so, too: it
    /// would show a name in network order backwards.
    pub(crate) fn is_of_this_machine(self) -> bool {
        matches!(self, Self::Mark | Self::Group | Self::IfName)
    }

    /// Bytes, padding included.
    pub(crate) fn size(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port | Self::Mark | Self::Group => 4,
            Self::Ether => 8,
            Self::Ipv6 | Self::IfName => 16,
        }
    }
}

/// A key or a value: one or more fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fields(pub(crate) Vec<u8>);

impl Fields {
    /// Appends an address, of either family.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.0.extend(ip.octets()),
            IpAddr::V6(ip) => self.0.extend(ip.octets()),
        }
        self
    }

    /// Appends a protocol's number.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.0.extend([protocol, 0, 0, 0]);
        self
    }

    /// Appends a port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.0.extend(port.to_be_bytes());
        self.0.extend([0, 0]);
        self
    }

    /// Appends an interface's name, of at most 15 bytes.
    #[must_use]
    pub fn ifname(mut self, name: &str) -> Self {
        let mut bytes = [0; IFNAME_SIZE];
        for (byte, given) in bytes.iter_mut().zip(name.bytes().take(IFNAME_SIZE - 1)) {
            *byte = given;
        }
        self.0.extend(bytes);
        self
    }

    /// Appends a mark, in host byte order.
    #[must_use]
    pub fn mark(mut self, mark: u32) -> Self {
        self.0.extend(mark.to_ne_bytes());
        self
    }

    /// Appends a link's group, in network byte order: a set of ranges compares bytes, so `nft` uses that order there.
    #[must_use]
    pub fn group(mut self, group: u32) -> Self {
        self.0.extend(group.to_be_bytes());
        self
    }

    /// Appends a hardware address.
    #[must_use]
    pub fn ether(mut self, mac: MacAddr) -> Self {
        self.0.extend(mac.0);
        self.0.extend([0, 0]);
        self
    }

    /// The fields of these types as `nft` writes them.
    pub fn text(&self, kinds: &[Datum]) -> String {
        self.words(kinds).join(" . ")
    }

    /// The range from these fields to those of `last`, as `nft` writes it: each field by itself.
    pub fn range_text(&self, last: &Self, kinds: &[Datum]) -> String {
        let ends = self.words(kinds).into_iter().zip(last.words(kinds));
        let words: Vec<String> = ends.map(|(first, last)| between(&first, &last)).collect();
        words.join(" . ")
    }

    fn words(&self, kinds: &[Datum]) -> Vec<String> {
        let mut read = self.read();
        let word = |kind: &Datum| {
            Some(match kind {
                Datum::Ipv4 => read.ip(Family::V4)?.to_string(),
                Datum::Ipv6 => read.ip(Family::V6)?.to_string(),
                Datum::Protocol => match read.protocol()? {
                    6 => "tcp".to_owned(),
                    17 => "udp".to_owned(),
                    132 => "sctp".to_owned(),
                    other => other.to_string(),
                },
                Datum::Port => read.port()?.to_string(),
                Datum::Mark => format!("{:#010x}", read.mark()?),
                Datum::Group => read.group()?.to_string(),
                Datum::IfName => format!("{:?}", read.ifname()?),
                Datum::Ether => read.ether()?.to_string(),
            })
        };
        kinds.iter().map_while(word).collect()
    }

    /// Reads the fields in order.
    pub fn read(&self) -> Reader<'_> {
        Reader(&self.0)
    }
}

/// A field from one value to another: a network where it is one.
fn between(first: &str, last: &str) -> String {
    if first == last {
        return first.to_owned();
    }
    let network = || {
        let (from, to): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        let differing = number(from) ^ number(to);
        let is_network =
            differing & number(from) == 0 && differing & differing.wrapping_add(1) == 0;
        let length =
            u32::from(Family::of(from).host_prefix()).checked_sub(differing.count_ones())?;
        is_network.then(|| format!("{first}/{length}"))
    };
    network().unwrap_or_else(|| format!("{first}-{last}"))
}

/// Takes fields off the front; `None` if a field is missing.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// An address of the family.
    pub fn ip(&mut self, family: Family) -> Option<IpAddr> {
        Some(match family {
            Family::V4 => self.take::<4>()?.into(),
            Family::V6 => self.take::<16>()?.into(),
        })
    }

    /// A protocol's number.
    pub fn protocol(&mut self) -> Option<u8> {
        let [protocol, ..] = self.take::<4>()?;
        Some(protocol)
    }

    /// A port.
    pub fn port(&mut self) -> Option<u16> {
        let [high, low, ..] = self.take::<4>()?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// A mark.
    pub fn mark(&mut self) -> Option<u32> {
        self.take::<4>().map(u32::from_ne_bytes)
    }

    /// A link's group.
    pub fn group(&mut self) -> Option<u32> {
        self.take::<4>().map(u32::from_be_bytes)
    }

    /// A hardware address.
    pub fn ether(&mut self) -> Option<MacAddr> {
        let padded = self.take::<8>()?;
        padded.first_chunk().copied().map(MacAddr)
    }

    /// An interface's name.
    pub fn ifname(&mut self) -> Option<String> {
        let name = self.take::<IFNAME_SIZE>()?;
        let end = name.iter().position(|byte| *byte == 0)?;
        String::from_utf8(name.get(..end)?.to_vec()).ok()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_padded_and_read_back() {
        let ip = IpAddr::from([10, 1, 0, 5]);
        let fields = Fields::default()
            .ifname("br0")
            .ip(ip)
            .protocol(6)
            .port(8080);
        assert_eq!(fields.0.len(), 16 + 4 + 4 + 4);
        assert_eq!(fields.0[20..], [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        let mut read = fields.read();
        assert_eq!(read.ifname().as_deref(), Some("br0"));
        assert_eq!(read.ip(Family::V4), Some(ip));
        assert_eq!((read.protocol(), read.port()), (Some(6), Some(8080)));
        assert_eq!(read.port(), None);
        let (first, last) = (Fields::default(), Fields::default());
        let range = [Datum::Ipv4, Datum::Ipv4, Datum::Port];
        let first = first.ip(ip).ip([10, 2, 0, 0].into()).port(5);
        let last = last.ip(ip).ip([10, 2, 255, 255].into()).port(9);
        assert_eq!(
            first.range_text(&last, &range),
            "10.1.0.5 . 10.2.0.0/16 . 5-9"
        );
        let kinds = [Datum::IfName, Datum::Ipv4, Datum::Protocol, Datum::Port];
        assert_eq!(fields.text(&kinds), "\"br0\" . 10.1.0.5 . tcp . 8080");
    }
}
