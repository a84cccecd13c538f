//! Addresses as the wire writes them, valid by construction.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The address's place among all of both families: IPv4 has its own among the IPv4-mapped ones.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The address at a place. Configurations have no IPv4-mapped addresses, so this is unambiguous.
pub fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(number)).to_canonical()
}

/// An address with its prefix length; host bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNetwork);

impl Cidr {
    /// `None` where the prefix is longer than the address.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        IpNetwork::new(ip, prefix).ok().map(Self)
    }

    /// Parses `ip/prefix`; the prefix is required, as Go's `ParseCIDR` has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (ip, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        if !digits || (prefix.len() > 1 && prefix.starts_with('0')) {
            return Err(invalid());
        }
        let ip: IpAddr = ip.parse().ok().ok_or_else(invalid)?;
        let prefix: u8 = prefix.parse().ok().ok_or_else(invalid)?;
        let (ip, prefix) = match (ip.to_canonical(), prefix.checked_sub(96)) {
            // An IPv4-mapped address is an IPv4 address; a prefix shorter than the mapping's 96 bits stays IPv6.
            (mapped @ IpAddr::V4(_), Some(prefix)) if ip.is_ipv6() => (mapped, prefix),
            _ => (ip, prefix),
        };
        Self::new(ip, prefix).ok_or_else(invalid)
    }

    /// The address, host bits included.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// Prefix length in bits.
    pub fn prefix(self) -> u8 {
        self.0.prefix()
    }

    /// The network's address: host bits cleared.
    pub fn network(self) -> IpAddr {
        self.0.network()
    }

    /// The network's last address: host bits set.
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Whether the network contains `ip`.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.0.contains(ip)
    }

    /// `0.0.0.0/0` or `::/0`.
    pub fn is_default(self) -> bool {
        self.prefix() == 0 && self.ip().is_unspecified()
    }

    /// The default destination of `like`'s family.
    pub fn default_of(like: IpAddr) -> Self {
        let any = match like {
            IpAddr::V4(_) => IpAddr::from([0u8; 4]),
            IpAddr::V6(_) => IpAddr::from([0u8; 16]),
        };
        Self(IpNetwork::from(any)).with_prefix_zero()
    }

    fn with_prefix_zero(self) -> Self {
        Self::new(self.ip(), 0).unwrap_or(self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip(), self.prefix())
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Decodes an address where the empty string means absent; for `#[serde(deserialize_with)]`.
pub fn optional_ip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_ip(&text).map(Some).map_err(D::Error::custom)
}

/// Decodes a prefix where the empty string means absent; for `#[serde(deserialize_with)]`.
pub fn optional_cidr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cidr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    Cidr::parse(&text).map(Some).map_err(D::Error::custom)
}

/// Parses an address; an IPv4-mapped IPv6 address is an IPv4 address.
pub fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.parse::<IpAddr>()
        .map(|ip| ip.to_canonical())
        .map_err(|_parse| format!("invalid IP address: {text}"))
}

/// A 48-bit hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Parses `xx:xx:xx:xx:xx:xx`, also with `-`, or in three groups with `.`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid MAC address {text:?}");
        let group = if text.contains('.') { 4 } else { 2 };
        let groups: Vec<&str> = text.split([':', '-', '.']).collect();
        let separators: Vec<char> = text.chars().filter(|c| ":-.".contains(*c)).collect();
        let uniform = separators
            .windows(2)
            .all(|pair| pair.first() == pair.last());
        let hex = |part: &&str| part.len() == group && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !uniform || !groups.iter().all(hex) {
            return Err(invalid());
        }
        let digits = groups.concat();
        let mut bytes = [0; 6];
        if digits.len() != 12 {
            return Err(invalid());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(at * 2..at * 2 + 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(pair, 16).ok().ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }

    /// A unicast, locally administered address made of `seed`'s low 48 bits.
    pub fn local(seed: u64) -> Self {
        let [_, _, mut bytes @ ..] = seed.to_be_bytes();
        if let Some(first) = bytes.first_mut() {
            *first = (*first | 0x02) & 0xfe;
        }
        Self(bytes)
    }

    /// Whether it names more than one station.
    pub fn is_multicast(self) -> bool {
        self.0.first().is_some_and(|byte| byte & 1 == 1)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// `CNI_NETNS`: the path of a network namespace, not yet opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetnsPath(PathBuf);

impl NetnsPath {
    /// `None` where the text is empty.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(PathBuf::from(text)))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for NetnsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_keeps_host_bits_and_needs_a_prefix() {
        for text in ["10.1.2.3/24", "fd00::5/64", "0.0.0.0/0", "1.2.3.4/32"] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "10.1.2.3",
            "10.1.2.3/33",
            "010.1.2.3/24",
            "10.1.2.3/",
            "10.1.2.3/024",
            "fd00::/129",
            "x/8",
            "10.1.2.3/+8",
            "10.1.2.3/255.255.255.0",
        ] {
            let want = format!("invalid CIDR address: {text}");
            assert_eq!(Cidr::parse(text), Err(want));
        }
        assert_eq!(
            Cidr::parse("::ffff:10.0.0.1/120").unwrap().to_string(),
            "10.0.0.1/24"
        );
        assert!(Cidr::default_of([1u8; 4].into()).is_default());
    }

    #[test]
    fn a_networks_first_and_last_address() {
        for (text, first, last) in [
            ("10.1.2.3/24", "10.1.2.0", "10.1.2.255"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/0", "0.0.0.0", "255.255.255.255"),
            ("fd00::5/64", "fd00::", "fd00::ffff:ffff:ffff:ffff"),
            ("fd00::5/128", "fd00::5", "fd00::5"),
        ] {
            let cidr = Cidr::parse(text).unwrap();
            let ends = (cidr.network().to_string(), cidr.last().to_string());
            assert_eq!(ends, (first.to_owned(), last.to_owned()), "{text}");
        }
    }

    #[test]
    fn mac_forms() {
        let mac = MacAddr([2, 0x42, 0xac, 0x11, 0, 2]);
        for text in ["02:42:ac:11:00:02", "02-42-AC-11-00-02", "0242.ac11.0002"] {
            assert_eq!(MacAddr::parse(text), Ok(mac));
        }
        for text in [
            "",
            "02:42",
            "02:42:ac:11:00:0g",
            "02:42-ac:11:00:02",
            "0:42:ac:11:00:02",
        ] {
            assert!(MacAddr::parse(text).is_err(), "{text}");
        }
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert!(!MacAddr::local(u64::MAX).is_multicast());
    }
}
