//! Ranges of addresses and the order in which they are tried. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use linkspan_protocol::family::Family;

use crate::range_conf::RangeConf;
use crate::span::Span;

/// A part of a subnet, both ends inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) subnet: IpNet,
    pub(crate) gateway: IpAddr,
    start: IpAddr,
    end: IpAddr,
    excluded: Vec<Span>,
    /// The addresses that are neither the gateway nor excluded, in order.
    spans: Vec<Span>,
}

impl Range {
    /// Fills in the defaults of the configuration, and refuses an impossible one.
    pub(crate) fn new(conf: &RangeConf) -> Result<Self, String> {
        let cidr = conf.subnet.ok_or("IP <nil> not v4 nor v6")?;
        let subnet = IpNet::new(cidr.ip(), cidr.prefix()).map_err(|err| err.to_string())?;
        if subnet.prefix_len() > subnet.max_prefix_len() - 2 {
            return Err(format!("Network {cidr} too small to allocate from"));
        }
        if subnet.addr() != subnet.network() {
            return Err(format!(
                "Network has host bits set. For a subnet mask of length {} the network address is {}",
                subnet.prefix_len(),
                subnet.network()
            ));
        }
        let first = after(subnet.network());
        let last = match subnet.broadcast() {
            IpAddr::V4(broadcast) => Ipv4Addr::from(u32::from(broadcast).wrapping_sub(1)).into(),
            last @ IpAddr::V6(_) => last,
        };
        let outside = |what, ip| format!("Range{what} {ip} not in network {cidr}");
        let mut range = Self {
            subnet,
            gateway: conf.gateway.unwrap_or(first),
            start: subnet.network(),
            end: conf.range_end.unwrap_or(subnet.broadcast()),
            excluded: Vec::new(),
            spans: Vec::new(),
        };
        if let Some(start) = conf.range_start
            && !range.contains(start)
        {
            return Err(outside("Start", start));
        }
        range.start = conf.range_start.unwrap_or(first);
        if let Some(end) = conf.range_end
            && !(subnet.contains(&end) && range.contains(end))
        {
            return Err(outside("End", end));
        }
        range.end = conf.range_end.unwrap_or(last);
        if range.start > range.end {
            // A start at the broadcast address: walking on from there would leave the subnet.
            return Err(outside("Start", range.start));
        }
        for net in &conf.exclude {
            if !subnet.contains(&net.ip()) || net.prefix() < subnet.prefix_len() {
                return Err(format!("exclude {net} not in network {cidr}"));
            }
            let net = IpNet::new(net.ip(), net.prefix()).map_err(|err| err.to_string())?;
            let span = Span::new(net.network(), net.broadcast());
            range.excluded.push(span);
        }
        range.spans = range.givable();
        Ok(range)
    }

    fn givable(&self) -> Vec<Span> {
        let gateway = Span::new(self.gateway, self.gateway);
        let holes = self.excluded.iter().copied().chain([gateway]);
        holes.fold(vec![Span::new(self.start, self.end)], |spans, hole| {
            let parts = spans.into_iter().flat_map(|span| span.without(hole));
            parts.collect()
        })
    }

    /// Why `ip` is never given although it is in the range.
    pub(crate) fn refusal(&self, ip: IpAddr) -> Option<String> {
        if ip == self.gateway {
            return Some(format!("requested ip {ip} is subnet's gateway"));
        }
        let span = self.excluded.iter().find(|span| span.contains(ip))?;
        Some(format!("requested ip {ip} is excluded ({span})"))
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.subnet.contains(&ip) && self.start <= ip && ip <= self.end
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start)
            || self.contains(other.end)
            || other.contains(self.start)
            || other.contains(self.end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// Ranges of one family, of which an attachment gets one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeSet(Vec<Range>);

impl RangeSet {
    /// Refuses an empty set, mixed families and overlaps.
    pub(crate) fn new(ranges: &[RangeConf]) -> Result<Self, String> {
        let ranges: Vec<_> = ranges.iter().map(Range::new).collect::<Result<_, _>>()?;
        let first = ranges.first().ok_or("empty range set")?;
        let family = Family::of(first.start);
        if ranges.iter().any(|range| Family::of(range.start) != family) {
            return Err("mixed address families".to_owned());
        }
        for (at, one) in ranges.iter().enumerate() {
            if let Some(other) = ranges.iter().skip(at + 1).find(|other| one.overlaps(other)) {
                return Err(format!("subnets {one} and {other} overlap"));
            }
        }
        Ok(Self(ranges))
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.range_of(ip).is_some()
    }

    pub(crate) fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let hits = |range: &Range| other.0.iter().any(|theirs| range.overlaps(theirs));
        self.0.iter().any(hits)
    }

    pub(crate) fn is_of(&self, family: Family) -> bool {
        let mut starts = self.0.iter().map(|range| Family::of(range.start));
        starts.next() == Some(family)
    }

    /// Whether `ip` is the gateway of one of the ranges.
    pub(crate) fn is_gateway(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|range| range.gateway == ip)
    }

    /// How many addresses may be given.
    pub(crate) fn size(&self) -> u128 {
        let spans = self.0.iter().flat_map(|range| &range.spans);
        spans.fold(0, |sum, span| sum.saturating_add(span.len()))
    }

    /// Every address that may be given, once, in the order of the search: those after `last`, the following ranges and
    /// the first ones, and those up to `last`.
    pub(crate) fn spans(&self, last: Option<IpAddr>) -> Vec<Span> {
        let of = |ranges: &[Range]| -> Vec<Span> {
            let spans = ranges.iter().flat_map(|range| range.spans.iter().copied());
            spans.collect()
        };
        let at = last.and_then(|ip| {
            let at = self.0.iter().position(|range| range.contains(ip))?;
            Some((ip, at))
        });
        let Some((ip, at)) = at else {
            return of(&self.0);
        };
        let (before, rest) = self.0.split_at(at);
        let (here, behind) = rest.split_at(1);
        let (upto, after): (Vec<_>, Vec<_>) = of(here)
            .into_iter()
            .map(|span| span.split_after(ip))
            .unzip();
        let parts = [
            after.into_iter().flatten().collect(),
            of(behind),
            of(before),
            upto.into_iter().flatten().collect(),
        ];
        parts.concat()
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&ranges.join(","))
    }
}

fn after(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).wrapping_add(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).wrapping_add(1)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::addr::Cidr;
    use linkspan_protocol::addr::address;

    fn range(subnet: &str, start: &str, end: &str) -> RangeConf {
        RangeConf {
            subnet: Cidr::parse(subnet).ok(),
            range_start: start.parse().ok(),
            range_end: end.parse().ok(),
            ..RangeConf::default()
        }
    }

    fn set(subnets: &[&str]) -> RangeSet {
        let ranges: Vec<_> = subnets.iter().map(|net| range(net, "", "")).collect();
        RangeSet::new(&ranges).unwrap()
    }

    fn tried(set: &RangeSet, last: &str) -> Vec<String> {
        let spans = set.spans(last.parse().ok()).into_iter();
        let found = spans.flat_map(|span| span.first..=span.last);
        found.map(|ip| address(ip).to_string()).collect()
    }

    #[test]
    fn defaults() {
        assert_eq!(set(&["10.1.4.0/24"]).to_string(), "10.1.4.1-10.1.4.254");
        let six = set(&["fd00::/126"]);
        assert_eq!(six.to_string(), "fd00::1-fd00::3");
        assert_eq!(tried(&six, ""), ["fd00::2", "fd00::3"]);
    }

    #[test]
    fn addresses_go_round_after_the_last_one() {
        let net = set(&["10.0.0.0/29"]);
        let (a, b) = (
            ["10.0.0.2", "10.0.0.3"],
            ["10.0.0.4", "10.0.0.5", "10.0.0.6"],
        );
        assert_eq!(tried(&net, ""), [&a[..], &b[..]].concat());
        assert_eq!(tried(&net, "10.0.0.3"), [&b[..], &a[..]].concat());
        assert_eq!(tried(&net, "10.0.0.6"), [&a[..], &b[..]].concat());
        assert_eq!(tried(&net, "192.168.0.1"), [&a[..], &b[..]].concat());
        let nets = set(&["10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/30"]);
        assert_eq!(
            tried(&nets, "10.0.0.2"),
            ["10.0.1.2", "10.0.2.2", "10.0.0.2"]
        );
        assert_eq!(
            tried(&nets, "10.0.2.2"),
            ["10.0.0.2", "10.0.1.2", "10.0.2.2"]
        );
    }

    #[test]
    fn exclusions_are_holes_with_a_reason() {
        let conf = RangeConf {
            exclude: ["10.0.0.3/32", "10.0.0.4/31"]
                .map(|net| Cidr::parse(net).unwrap())
                .to_vec(),
            ..range("10.0.0.0/29", "", "")
        };
        let set = RangeSet::new(std::slice::from_ref(&conf)).unwrap();
        assert_eq!(tried(&set, ""), ["10.0.0.2", "10.0.0.6"]);
        assert_eq!(tried(&set, "10.0.0.4"), ["10.0.0.6", "10.0.0.2"]);
        assert_eq!(set.size(), 2);
        let refusal = |ip: &str| {
            let ip = ip.parse().unwrap();
            set.range_of(ip).unwrap().refusal(ip)
        };
        let text = "requested ip 10.0.0.5 is excluded (10.0.0.4-10.0.0.5)";
        assert_eq!(refusal("10.0.0.5").as_deref(), Some(text));
        assert_eq!(refusal("10.0.0.6"), None);
        for net in ["10.0.1.0/30", "10.0.0.0/8", "fd00::/126"] {
            let conf = RangeConf {
                exclude: vec![Cidr::parse(net).unwrap()],
                ..range("10.0.0.0/29", "", "")
            };
            let text = format!("exclude {net} not in network 10.0.0.0/29");
            assert_eq!(Range::new(&conf), Err(text));
        }
    }

    #[test]
    fn impossible_ranges_are_told_as_the_reference_does() {
        for (conf, text) in [
            (range("", "", ""), "IP <nil> not v4 nor v6"),
            (
                range("192.0.2.0/31", "", ""),
                "Network 192.0.2.0/31 too small to allocate from",
            ),
            (
                range("192.0.2.12/24", "", ""),
                "Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0",
            ),
            (
                range("192.0.2.0/24", "192.0.3.1", ""),
                "RangeStart 192.0.3.1 not in network 192.0.2.0/24",
            ),
            (
                range("192.0.2.0/24", "", "192.0.4.1"),
                "RangeEnd 192.0.4.1 not in network 192.0.2.0/24",
            ),
            (
                range("192.0.2.0/24", "192.0.2.50", "192.0.2.40"),
                "RangeStart 192.0.2.50 not in network 192.0.2.0/24",
            ),
            (
                range("192.0.2.0/24", "192.0.2.255", ""),
                "RangeStart 192.0.2.255 not in network 192.0.2.0/24",
            ),
        ] {
            assert_eq!(Range::new(&conf), Err(text.to_owned()));
        }
        let overlap = [
            range("10.1.0.0/22", "", ""),
            range("10.1.2.0/23", "", "10.1.2.254"),
        ];
        assert_eq!(
            RangeSet::new(&overlap),
            Err("subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap".to_owned())
        );
        let mixed = [range("10.1.0.0/24", "", ""), range("fd00::/64", "", "")];
        assert_eq!(
            RangeSet::new(&mixed),
            Err("mixed address families".to_owned())
        );
        assert_eq!(RangeSet::new(&[]), Err("empty range set".to_owned()));
    }
}
