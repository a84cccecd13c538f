//! A lease of `DHCPv6`: the server's grant, and the advertised router.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::{AddResult, Dns, IpConfig, Route};

use super::message::{self, Kind, Message, Options, interface};
use crate::clock::Moment;
use crate::conf::Shape;
use crate::hex::{hex, unhex};
use crate::lease::{FOREVER, Times};
use crate::link::Spot;
use crate::merge::merge;
use crate::trouble::Trouble;
use crate::wire::domain;

/// An IPv6 lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease6 {
    pub(crate) obtained: Moment,
    /// The address, with the length of its on-link prefix.
    pub(crate) address: Cidr,
    pub(crate) router: Option<Ipv6Addr>,
    pub(crate) iaid: [u8; 4],
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
    pub(crate) valid: u32,
    pub(crate) t1: u32,
    pub(crate) t2: u32,
    /// Options 23 and 24.
    pub(crate) dns: Vec<u8>,
    pub(crate) search: Vec<u8>,
}

impl Lease6 {
    /// The lease's times; `None` for a lease without an end.
    pub(crate) fn times(&self) -> Option<Times> {
        if self.valid == FOREVER {
            return None;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let told = |told: u32| Some(told).filter(|told| *told != 0).map(seconds);
        Some(Times::of(
            self.obtained,
            seconds(self.valid),
            told(self.t1),
            told(self.t2),
        ))
    }

    /// The address, without prefix.
    pub(crate) fn ip(&self) -> Option<Ipv6Addr> {
        match self.address.ip() {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        }
    }

    /// The lease as a line of a record.
    pub(crate) fn text(&self) -> String {
        let router = self
            .router
            .map_or("-".to_owned(), |router| router.to_string());
        let words = [
            self.obtained.0.to_string(),
            self.address.to_string(),
            router,
            hex(&self.iaid),
            hex(&self.client),
            hex(&self.server),
            format!("{} {} {}", self.valid, self.t1, self.t2),
            format!("-{} -{}", hex(&self.dns), hex(&self.search)),
        ];
        words.join(" ")
    }

    /// Parses such a line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next();
        Some(Self {
            obtained: Moment(word()?.parse().ok()?),
            address: Cidr::parse(word()?).ok()?,
            router: match word()? {
                "-" => None,
                router => Some(router.parse().ok()?),
            },
            iaid: unhex(word()?)?.try_into().ok()?,
            client: unhex(word()?)?,
            server: unhex(word()?)?,
            valid: word()?.parse().ok()?,
            t1: word()?.parse().ok()?,
            t2: word()?.parse().ok()?,
            dns: unhex(word()?.strip_prefix('-')?)?,
            search: unhex(word()?.strip_prefix('-')?)?,
        })
    }

    pub(crate) fn add_to(&self, result: &mut AddResult, shape: &Shape) {
        let router = self.router.map(IpAddr::from);
        result.ips.push(IpConfig {
            interface: None,
            address: self.address,
            gateway: router,
        });
        let default = |router| Route::via(Cidr::default_of(router), Some(router));
        result.routes.extend(router.map(default));
        if shape.dns {
            merge(&mut result.dns, self.dns());
        }
    }

    fn dns(&self) -> Dns {
        let servers = self.dns.chunks_exact(16);
        let servers = servers.filter_map(|octets| <[u8; 16]>::try_from(octets).ok());
        Dns {
            nameservers: servers
                .map(|octets| Ipv6Addr::from(octets).to_string())
                .collect(),
            search: domain::search(&self.search).unwrap_or_default(),
            ..Dns::default()
        }
    }

    /// A client's options for the lease: its identity and its address.
    pub(crate) fn options(&self) -> Options {
        vec![
            (message::CLIENT, self.client.clone()),
            (message::ELAPSED, vec![0, 0]),
            interface(self.iaid, self.ip()),
        ]
    }

    /// Releases the address, from the interface.
    pub(crate) fn release(&self, spot: &Spot) -> Result<(), Trouble> {
        let mut options = self.options();
        options.insert(1, (message::SERVER, self.server.clone()));
        let release = Message::new(Kind::Release, options);
        spot.send_to_servers(&release.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let lease = Lease6 {
            obtained: Moment(5),
            address: Cidr::parse("fd00::9/64").unwrap(),
            router: None,
            iaid: [1, 2, 3, 4],
            client: vec![1],
            server: vec![2, 3],
            valid: 100,
            t1: 0,
            t2: 0,
            dns: Vec::new(),
            search: b"\x03lan\0".to_vec(),
        };
        let routed = Lease6 {
            router: Some("fe80::1".parse().unwrap()),
            ..lease.clone()
        };
        for lease in [&lease, &routed] {
            assert_eq!(Lease6::parse(&lease.text()).as_ref(), Some(lease));
        }
        let times = lease.times().unwrap();
        assert_eq!(
            [times.t1.0, times.t2.0, times.expiry.0],
            [50_005, 85_005, 100_005]
        );
        let mut result = AddResult::default();
        let shape = Shape {
            dns: true,
            ..Shape::default()
        };
        routed.add_to(&mut result, &shape);
        assert_eq!(result.routes[0].gw, result.ips[0].gateway);
        assert_eq!(result.dns.search, ["lan"]);
    }
}
