//! Routes as they are kept in tables that no rule leads to. The kernel's objections to their next hops and sources do
//! not matter there.

use std::net::{IpAddr, Ipv4Addr};

use linkspan_protocol::family::Family;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMetric, RouteNextHopFlags,
};

use crate::stored::Stored;

impl Stored {
    /// The same route, with `onlink` set or cleared on its next hops.
    #[must_use]
    pub fn with_onlink(mut self, on: bool) -> Self {
        let on = on && self.has_gateway();
        for attribute in &mut self.message.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                for hop in hops {
                    hop.flags.set(RouteNextHopFlags::Onlink, on);
                }
            }
        }
        let is_single = !self.has_several();
        self.message
            .header
            .flags
            .set(RouteFlags::Onlink, on && is_single);
        self
    }

    /// The same route with its IPv4 source among the metrics, as `ssthresh`. In a VRF the kernel accepts a source only
    /// in tables that have the address itself.
    #[must_use]
    pub fn with_source_aside(mut self) -> Self {
        let Some(IpAddr::V4(src)) = self.src() else {
            return self;
        };
        let attributes = &mut self.message.attributes;
        attributes.retain(|attribute| !matches!(attribute, RouteAttribute::PrefSource(_)));
        let mut metrics = self.take_metrics();
        metrics.retain(|metric| !matches!(metric, RouteMetric::SsThresh(_)));
        metrics.push(RouteMetric::SsThresh(src.to_bits()));
        self.message
            .attributes
            .push(RouteAttribute::Metrics(metrics));
        self
    }

    /// The inverse of [`Stored::with_source_aside`].
    #[must_use]
    pub fn with_source_back(mut self) -> Self {
        if self.family() == Family::V6 || self.src().is_some() {
            return self;
        }
        let mut metrics = self.take_metrics();
        let is_source = |metric: &RouteMetric| matches!(metric, RouteMetric::SsThresh(bits) if *bits >= LOWEST.to_bits());
        let at = metrics.iter().position(is_source);
        let found = at.map(|at| metrics.remove(at));
        let attributes = &mut self.message.attributes;
        if let Some(RouteMetric::SsThresh(bits)) = found {
            let src = RouteAddress::Inet(Ipv4Addr::from_bits(bits));
            attributes.push(RouteAttribute::PrefSource(src));
        }
        if !metrics.is_empty() {
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        self
    }

    fn take_metrics(&mut self) -> Vec<RouteMetric> {
        let mut taken = Vec::new();
        self.message.attributes.retain_mut(|attribute| {
            let RouteAttribute::Metrics(metrics) = attribute else {
                return true;
            };
            taken.append(metrics);
            false
        });
        taken
    }
}

/// Lower values are real metrics: no window has more segments than this.
const LOWEST: Ipv4Addr = Ipv4Addr::new(1, 0, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteMessage;

    #[test]
    fn a_source_goes_aside_and_comes_back() {
        let mut message = RouteMessage::default();
        let src = Ipv4Addr::new(10, 1, 0, 2);
        message.attributes = vec![
            RouteAttribute::PrefSource(RouteAddress::Inet(src)),
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]),
        ];
        let family = Family::V4;
        let route = Stored { family, message };
        let aside = route.clone().with_source_aside();
        assert_eq!(aside.src(), None);
        assert_eq!(aside.with_source_back(), route);
        let without = route.with_source_aside().with_source_back();
        assert_eq!(without.src(), Some(src.into()));
    }

    #[test]
    fn a_metric_stays_one() {
        let mut message = RouteMessage::default();
        message.attributes = vec![RouteAttribute::Metrics(vec![RouteMetric::SsThresh(100)])];
        let family = Family::V4;
        let route = Stored { family, message };
        assert_eq!(route.clone().with_source_back(), route);
        assert_eq!(route.clone().with_source_aside(), route);
    }
}
