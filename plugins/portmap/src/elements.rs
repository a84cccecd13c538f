//! Mappings as elements of our sets and maps, and back. Pure.

use std::net::IpAddr;

use linkspan_nftables::datum::Fields;
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::hash;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::{Family, PerFamily};

use crate::mapping::{HostIp, Mapping, Protocol};
use crate::sets::{CLAIMS, HAIRPIN, LOCALHOST, LOCALHOST_ADDR, PUBLISH, PUBLISH_ADDR, SOURCES};

/// The container as the host sees it, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its address, with the network of its neighbours.
    pub(crate) address: Cidr,
    /// The host's own address towards it; absent where the host has no route there.
    pub(crate) source: Option<IpAddr>,
}

/// The values of `snat` and `masqAll`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Translate {
    pub(crate) snat: bool,
    pub(crate) masq_all: bool,
}

/// The comment of a claim that mappings on single addresses share.
pub(crate) const SHARED: &str = "ports of single addresses";

/// The claim of the owner's mapping to its port in a family. Mappings on single addresses share a claim; any other
/// claim is its owner's alone.
pub(crate) fn claim(mapping: &Mapping, owner: &str, family: Family) -> (&'static Set, Element) {
    let comment = match mapping.host_ip.one() {
        None => owner,
        Some(_) => SHARED,
    };
    let element = Element {
        key: Fields::default()
            .protocol(mapping.protocol.number())
            .port(mapping.host_port),
        value: Some(Fields::default().mark(digest(comment))),
        comment: comment.to_owned(),
        ..Element::default()
    };
    (CLAIMS.of_family(family), element)
}

/// A comment as a number, which the kernel compares.
fn digest(comment: &str) -> u32 {
    let digits = hash::hex(comment);
    let digits = digits.get(..8).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// The elements that publish `mapping` at `target`, each with its set; the first one is the mapping itself. Empty where
/// the mapping is of the other family.
pub(crate) fn elements(
    mapping: &Mapping,
    target: &Target,
    translate: Translate,
    owner: &str,
) -> Vec<(&'static Set, Element)> {
    let ip = target.address.ip();
    if !mapping.host_ip.concerns(Family::of(ip)) {
        return Vec::new();
    }
    let end = |fields: Fields| {
        fields
            .protocol(mapping.protocol.number())
            .port(mapping.host_port)
    };
    let start =
        |one: Option<IpAddr>| one.map_or_else(Fields::default, |ip| Fields::default().ip(ip));
    let one = mapping.host_ip.one();
    let pair = |any: PerFamily<_>, addr| if one.is_some() { addr } else { any }.of(ip);
    let element = |key: Fields, value: Option<Fields>| Element {
        key: end(key),
        value,
        ..Element::default()
    };
    let to = Fields::default().ip(ip).port(mapping.container_port);
    let mut elements = vec![
        (pair(PUBLISH, PUBLISH_ADDR), element(start(one), Some(to))),
        claim(mapping, owner, Family::of(ip)),
    ];
    if !translate.snat {
        return elements;
    }
    if let Some(source) = target.source {
        let source = Fields::default().ip(source);
        let set = pair(LOCALHOST, LOCALHOST_ADDR);
        elements.push((set, element(start(one), Some(source))));
    }
    elements.push((HAIRPIN.of(ip), element(Fields::default().ip(ip), None)));
    elements
}

/// The element with the sources for which `target` sees the host's address.
pub(crate) fn sources(target: &Target, translate: Translate) -> Option<(&'static Set, Element)> {
    let ip = target.address.ip();
    let sources = if translate.masq_all {
        Cidr::default_of(ip)
    } else {
        target.address
    };
    let from = |source: IpAddr| Fields::default().ip(ip).ip(source);
    let element = Element {
        key: from(sources.network()),
        key_end: Some(from(sources.last())),
        ..Element::default()
    };
    translate.snat.then_some((SOURCES.of(ip), element))
}

/// Reads an element of one of the maps in [`crate::sets::PUBLISHED`]: the mapping, and the container's address.
pub(crate) fn read(element: &Element, by_addr: bool, family: Family) -> Option<(Mapping, IpAddr)> {
    let mut key = element.key.read();
    let host_ip = if by_addr {
        HostIp::One(key.ip(family)?)
    } else {
        HostIp::AnyOf(family)
    };
    let protocol = Protocol::of_number(key.protocol()?)?;
    let host_port = key.port()?;
    let mut value = element.value.as_ref()?.read();
    let ip = value.ip(family)?;
    let mapping = Mapping {
        protocol,
        host_ip,
        host_port,
        container_port: value.port()?,
    };
    Some((mapping, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host_ip: HostIp, translate: Translate) -> Vec<&'static str> {
        let mapping = Mapping {
            protocol: Protocol::Tcp,
            host_ip,
            host_port: 8080,
            container_port: 80,
        };
        let target = Target {
            address: Cidr::parse("10.1.0.5/16").unwrap(),
            source: Some([10, 1, 0, 1].into()),
        };
        let elements = elements(&mapping, &target, translate, "net/pod/eth0");
        if let Some((set, element)) = elements.first() {
            let mut maps = crate::sets::PUBLISHED.into_iter();
            let map = maps.find(|map| map.set == *set).unwrap();
            let (read, ip) = read(element, map.by_addr, map.family).unwrap();
            assert_eq!((read.host_port, read.container_port), (8080, 80));
            assert_eq!(ip, target.address.ip());
        }
        elements.into_iter().map(|(set, _)| set.name).collect()
    }

    #[test]
    fn each_mapping_gets_what_it_needs_and_no_more() {
        let usual = Translate {
            snat: true,
            masq_all: false,
        };
        let all = ["publish_v4", "claims_v4", "localhost_v4", "hairpin_v4"];
        assert_eq!(names(HostIp::Any, usual), all);
        assert_eq!(names(HostIp::AnyOf(Family::V4), usual), all);
        assert_eq!(names(HostIp::AnyOf(Family::V6), usual), [""; 0]);
        let one = [
            "publish_addr_v4",
            "claims_v4",
            "localhost_addr_v4",
            "hairpin_v4",
        ];
        for ip in [[10, 0, 0, 1], [127, 0, 0, 1]] {
            assert_eq!(names(HostIp::One(ip.into()), usual), one);
        }
        let plain = Translate {
            snat: false,
            masq_all: true,
        };
        assert_eq!(names(HostIp::Any, plain), ["publish_v4", "claims_v4"]);
    }
}
