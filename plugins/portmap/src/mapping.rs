//! The ports to publish: ports of the host that lead to ports of the container.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use linkspan_plugin::Result;
use linkspan_protocol::addr::parse_ip;
use linkspan_protocol::error::Failure;
use linkspan_protocol::family::Family;
use serde::Deserialize;

/// An element of `runtimeConfig.portMappings`, not yet checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct MappingConf {
    /// The port of the host, 1 to 65535; required.
    host_port: i64,
    /// The port of the container, 1 to 65535; required.
    container_port: i64,
    /// `tcp`, `udp` or `sctp`, in any case; required.
    protocol: String,
    /// The address of the host; `0.0.0.0` and `::` mean all addresses of one family. Default: every address
    #[serde(rename = "hostIP")]
    host_ip: String,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its number in IP headers (IANA).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// Its name, as configurations have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The addresses of the host on which a port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostIp {
    /// Every address of both families.
    Any,
    /// Every address of the family: `0.0.0.0` or `::`.
    AnyOf(Family),
    /// This one.
    One(IpAddr),
}

impl HostIp {
    /// Whether it has addresses of the family.
    pub(crate) fn concerns(self, family: Family) -> bool {
        match self {
            Self::Any => true,
            Self::AnyOf(only) => only == family,
            Self::One(ip) => Family::of(ip) == family,
        }
    }

    /// The address, where it is one.
    pub(crate) fn one(self) -> Option<IpAddr> {
        match self {
            Self::One(ip) => Some(ip),
            Self::Any | Self::AnyOf(_) => None,
        }
    }

    /// Whether these are all addresses of the other, or more.
    pub(crate) fn covers(self, other: Self) -> bool {
        let mut families = Family::BOTH
            .into_iter()
            .filter(|family| other.concerns(*family));
        let all = |ip: IpAddr| other.one() == Some(ip);
        families.all(|family| self.concerns(family)) && self.one().is_none_or(all)
    }

    /// Whether a packet could match both. Within a family, one of two that overlap covers the other.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        Family::BOTH.into_iter().any(|family| {
            let both = self.concerns(family) && other.concerns(family);
            let same = match (self.one(), other.one()) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            };
            both && same
        })
    }
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) protocol: Protocol,
    pub(crate) host_ip: HostIp,
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
}

impl Mapping {
    /// Whether a packet could match both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        (self.protocol, self.host_port) == (other.protocol, other.host_port)
            && self.host_ip.overlaps(other.host_ip)
    }

    /// Whether both are the same within the family that they share.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.host_ip.one() == other.host_ip.one() && self.has_the_ports_of(other)
    }

    /// Whether both lead from one port to one port.
    fn has_the_ports_of(&self, other: &Self) -> bool {
        let ports = |mapping: &Self| (mapping.protocol, mapping.host_port, mapping.container_port);
        ports(self) == ports(other)
    }

    /// Whether it makes the other one superfluous.
    fn is_instead_of(&self, other: &Self) -> bool {
        self.has_the_ports_of(other) && self.host_ip.covers(other.host_ip)
    }

    /// Whether one of `others` is the same in a family.
    pub(crate) fn is_one_of(&self, others: &[Self], family: Family) -> bool {
        let mut of_family = others.iter().filter(|other| other.host_ip.concerns(family));
        of_family.any(|other| self.equals(other))
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host_port, self.protocol)
    }
}

/// Checks the mappings, and merges those with one destination of which one covers the others. Code 7.
pub(crate) fn parse(confs: &[MappingConf]) -> Result<Vec<Mapping>> {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut ports = BTreeSet::new();
    for conf in confs {
        let mapping = Mapping {
            protocol: protocol(&conf.protocol)?,
            host_ip: host_ip(&conf.host_ip)?,
            host_port: port("host", conf.host_port)?,
            container_port: port("container", conf.container_port)?,
        };
        // Most lists have each port once. To compare all mappings with all others would take as long as the kernel's part.
        if ports.insert((mapping.protocol.number(), mapping.host_port)) {
            mappings.push(mapping);
            continue;
        }
        let met: Vec<&Mapping> = mappings
            .iter()
            .filter(|known| known.meets(&mapping))
            .collect();
        if let Some(other) = met.iter().find(|known| !known.has_the_ports_of(&mapping)) {
            return Err(Failure::config(format!(
                "host port {mapping} is mapped twice, to container ports {} and {}",
                other.container_port, mapping.container_port
            ))
            .hint("map each host port once, or each to another hostIP"));
        }
        if met.iter().any(|known| known.is_instead_of(&mapping)) {
            continue;
        }
        mappings.retain(|known| !mapping.is_instead_of(known));
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn protocol(text: &str) -> Result<Protocol> {
    Protocol::ALL
        .into_iter()
        .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            Failure::config(format!("unknown protocol {text:?} of a port mapping"))
                .hint("use \"tcp\", \"udp\" or \"sctp\"")
        })
}

fn host_ip(text: &str) -> Result<HostIp> {
    if text.is_empty() {
        return Ok(HostIp::Any);
    }
    let ip = parse_ip(text).map_err(|err| {
        Failure::config(format!("hostIP of a port mapping: {err}"))
            .hint("give an address of this host, or none for all of them")
    })?;
    Ok(if ip.is_unspecified() {
        HostIp::AnyOf(Family::of(ip))
    } else {
        HostIp::One(ip)
    })
}

fn port(whose: &str, number: i64) -> Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            Failure::config(format!("Invalid {whose} port number: {number}"))
                .hint("ports are from 1 to 65535")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(host_ip: &str, host_port: i64, container_port: i64, protocol: &str) -> MappingConf {
        MappingConf {
            host_port,
            container_port,
            protocol: protocol.into(),
            host_ip: host_ip.into(),
        }
    }

    #[test]
    fn what_cannot_be_published_is_named() {
        for (bad, named) in [
            (conf("", 0, 80, "tcp"), "Invalid host port number: 0"),
            (
                conf("", 65536, 80, "tcp"),
                "Invalid host port number: 65536",
            ),
            (conf("", 80, -1, "tcp"), "Invalid container port number: -1"),
            (conf("", 80, 80, "icmp"), "unknown protocol \"icmp\""),
            (conf("", 80, 80, ""), "unknown protocol \"\""),
            (conf("10.0.0", 80, 80, "tcp"), "invalid IP address: 10.0.0"),
        ] {
            let message = parse(&[bad]).unwrap_err().message();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn the_same_port_twice_is_one_and_another_destination_is_refused() {
        let same = [conf("", 80, 8080, "tcp"), conf("", 80, 8080, "TCP")];
        assert_eq!(parse(&same).unwrap().len(), 1);
        for (first, second) in [("", ""), ("", "10.0.0.1"), ("0.0.0.0", "10.0.0.1")] {
            let two = [conf(first, 80, 1, "tcp"), conf(second, 80, 2, "tcp")];
            let message = parse(&two).unwrap_err().message();
            assert!(message.contains("80/tcp is mapped twice"), "{message}");
        }
        for (first, second) in [
            ("10.0.0.1", "10.0.0.2"),
            ("0.0.0.0", "::"),
            ("::", "10.0.0.1"),
        ] {
            let two = [conf(first, 80, 1, "tcp"), conf(second, 80, 2, "tcp")];
            assert_eq!(parse(&two).unwrap().len(), 2);
        }
        let two = [conf("", 80, 1, "tcp"), conf("", 80, 2, "udp")];
        assert_eq!(parse(&two).unwrap().len(), 2);
    }

    #[test]
    fn of_those_with_one_destination_the_widest_stays() {
        for (given, stay) in [
            (vec!["", "127.0.0.1", "0.0.0.0", "::"], vec![""]),
            (
                vec!["127.0.0.1", "::1", "0.0.0.0", "::"],
                vec!["0.0.0.0", "::"],
            ),
            (vec!["0.0.0.0", "::", "10.0.0.1", ""], vec![""]),
            (
                vec!["10.0.0.1", "10.0.0.2", "10.0.0.1"],
                vec!["10.0.0.1", "10.0.0.2"],
            ),
        ] {
            let confs: Vec<_> = given.iter().map(|ip| conf(ip, 80, 8080, "tcp")).collect();
            let expected: Vec<_> = stay.iter().map(|ip| host_ip(ip).unwrap()).collect();
            let found: Vec<_> = parse(&confs).unwrap().iter().map(|m| m.host_ip).collect();
            assert_eq!(found, expected, "{given:?}");
        }
        let apart = [
            conf("0.0.0.0", 80, 1, "tcp"),
            conf("::", 80, 2, "tcp"),
            conf("", 80, 1, "tcp"),
        ];
        assert!(parse(&apart).is_err());
    }
}
