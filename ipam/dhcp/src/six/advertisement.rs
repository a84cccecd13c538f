//! Router advertisements: the router, and the prefixes that are on the link.

use std::net::{IpAddr, Ipv6Addr};

use linkspan_protocol::addr::Cidr;

use crate::wire::number;

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const ICMP: u8 = 58;
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const HOPS: u8 = 255;
const PREFIX: u8 = 3;
const ON_LINK: u8 = 0x80;
/// The address of all routers on the link, and its hardware address.
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ROUTERS_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 2];

/// An advertisement's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertised {
    /// The router's address, if it is a default router.
    pub(crate) router: Option<Ipv6Addr>,
    pub(crate) on_link: Vec<Cidr>,
}

/// The frame that solicits advertisements. Its source is unspecified, so the interface needs no address yet.
pub(crate) fn solicitation(mac: [u8; 6]) -> Vec<u8> {
    let mut icmp = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    let mut pseudo = [0; 16].to_vec();
    pseudo.extend(ROUTERS.octets());
    pseudo.extend([0, 0, 0, 8, 0, 0, 0, ICMP]);
    pseudo.extend(&icmp);
    let sum = crate::wire::frame::checksum(&pseudo).to_be_bytes();
    icmp.splice(2..4, sum);
    let mut frame = ROUTERS_MAC.to_vec();
    frame.extend(mac);
    frame.extend([0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, 8, ICMP, HOPS]);
    frame.extend([0; 16]);
    frame.extend(ROUTERS.octets());
    frame.extend(icmp);
    frame
}

/// Decodes a frame; `None` unless it is an advertisement straight from the router.
pub(crate) fn parse(frame: &[u8]) -> Option<Advertised> {
    let packet = frame.get(ETHERNET..)?;
    let is_ipv6 = number(frame, 12)? == 0x86dd && packet.first()? >> 4 == 6;
    let is_icmp = packet.get(6..8)? == [ICMP, HOPS];
    let source = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
    let icmp = packet.get(IPV6..)?.get(..usize::from(number(packet, 4)?))?;
    let is_advertisement = icmp.get(..2)? == [ADVERTISEMENT, 0];
    if !(is_ipv6 && is_icmp && is_advertisement && source.is_unicast_link_local()) {
        return None;
    }
    let is_default = number(icmp, 6)? > 0;
    Some(Advertised {
        router: is_default.then_some(source),
        on_link: prefixes(icmp.get(16..)?),
    })
}

fn prefixes(mut options: &[u8]) -> Vec<Cidr> {
    let mut found = Vec::new();
    while let [kind, length, ..] = options {
        let (kind, length) = (*kind, usize::from(*length) * 8);
        let Some((option, rest)) = options.split_at_checked(length).filter(|_| length > 0) else {
            break;
        };
        if kind == PREFIX {
            found.extend(prefix(option));
        }
        options = rest;
    }
    found
}

fn prefix(option: &[u8]) -> Option<Cidr> {
    let (length, flags) = (*option.get(2)?, *option.get(3)?);
    let address = Ipv6Addr::from(*option.get(16..)?.first_chunk::<16>()?);
    let prefix = Cidr::new(IpAddr::from(address), length)?;
    (flags & ON_LINK != 0 && !address.is_unicast_link_local()).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertisement() -> Vec<u8> {
        let mut frame = solicitation([2, 0, 0, 0, 0, 1]);
        frame.truncate(ETHERNET + IPV6);
        frame[ETHERNET + 8..ETHERNET + 24]
            .copy_from_slice(&"fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        let mut icmp = vec![ADVERTISEMENT, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        icmp.extend([PREFIX, 4, 64, 0xc0]);
        icmp.extend([0; 12]);
        icmp.extend("fd00::".parse::<Ipv6Addr>().unwrap().octets());
        frame[ETHERNET + 5] = u8::try_from(icmp.len()).unwrap();
        frame.extend(icmp);
        frame
    }

    #[test]
    fn an_advertisement_tells_the_router_and_its_prefixes() {
        let told = parse(&advertisement()).unwrap();
        assert_eq!(told.router, Some("fe80::1".parse().unwrap()));
        assert_eq!(told.on_link, [Cidr::parse("fd00::/64").unwrap()]);
    }

    #[test]
    fn what_is_cut_forwarded_or_something_else_is_nothing() {
        let whole = advertisement();
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "{cut}");
        }
        for (at, byte) in [
            (12, 8),
            (14, 0x40),
            (20, 17),
            (21, 254),
            (22, 0x20),
            (54, 133),
            (55, 1),
        ] {
            let mut bad = whole.clone();
            bad[at] = byte;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
        let mut endless = whole.clone();
        endless[ETHERNET + IPV6 + 17] = 0;
        assert_eq!(parse(&endless).unwrap().on_link, []);
        assert_eq!(parse(&solicitation([2, 0, 0, 0, 0, 1])), None);
    }
}
