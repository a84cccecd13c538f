//! Results of every version: decoded, encoded and decoded again; and results made from the bytes, as far as a version
//! can express them.

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::error::WireError;
use linkspan_protocol::json::Json;
use linkspan_protocol::result::{AddResult, Dns, Interface, IpConfig, Route};
use linkspan_protocol::version::SpecVersion;
use linkspan_protocol::wire::{convert, decode, decode_family, encode, expressible};

use crate::reply::one_line;

pub(crate) fn target(data: &[u8]) {
    read(data);
    written(&made(&mut Feed(data)));
}

/// The bytes as a printed result.
fn read(data: &[u8]) {
    let Ok(json) = Json::parse(data) else {
        return;
    };
    drop(json.decode::<WireError>());
    for fallback in SpecVersion::ALL {
        drop(decode_family(&json, fallback.as_str()));
        match decode(&json, fallback.as_str()) {
            Ok((result, own)) => {
                let text = same(
                    convert(&json, fallback.as_str(), Some(own)).unwrap(),
                    &result,
                    own,
                );
                let again = Json::parse(text.as_bytes()).unwrap();
                assert_eq!(convert(&again, "", None).unwrap(), (text, own));
                converted(&json, &result, own);
            }
            Err(failure) => one_line(&failure.message()),
        }
    }
}

/// The same result in every other version.
fn converted(json: &Json, result: &AddResult, own: SpecVersion) {
    for to in SpecVersion::ALL {
        // `json` may lack its version, so it is passed.
        let encoded = if own < SpecVersion::V0_3_0 && to < SpecVersion::V0_3_0 {
            convert(json, own.as_str(), Some(to)).map(|(text, _)| text)
        } else {
            encode(result, to)
        };
        match encoded {
            Ok(text) => drop(same((text, to), result, to)),
            Err(_) => assert!(to < SpecVersion::V0_3_0 && result.ips.is_empty()),
        }
    }
}

/// A result as a plugin would return it.
fn written(result: &AddResult) {
    for version in SpecVersion::ALL {
        match encode(result, version) {
            Ok(text) => drop(same((text, version), result, version)),
            Err(_) => assert!(version < SpecVersion::V0_3_0 && result.ips.is_empty()),
        }
    }
}

/// Asserts that `text` has the parts of `result` that `version` can express.
fn same((text, told): (String, SpecVersion), result: &AddResult, version: SpecVersion) -> String {
    assert_eq!(told, version);
    let json = Json::parse(text.as_bytes()).unwrap();
    let expected = expressible(result.clone(), version);
    assert_eq!(decode(&json, "").unwrap(), (expected.clone(), version));
    assert_eq!(decode_family(&json, version.as_str()).unwrap(), expected);
    text
}

/// Bytes that control the construction; zero after their end.
struct Feed<'a>(&'a [u8]);

impl Feed<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() & 1 == 1).then(|| make(self))
    }

    fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        let len = usize::from(self.byte() % 24).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8_lossy(taken).into_owned()
    }

    /// In the form of every configuration and result: an IPv4-mapped address is an IPv4 one.
    fn cidr(&mut self) -> Cidr {
        let text = if self.byte() & 1 == 0 {
            let ip = std::net::Ipv4Addr::from(self.array::<4>());
            format!("{ip}/{}", self.byte() % 33)
        } else {
            let ip = std::net::Ipv6Addr::from(self.array::<16>());
            format!("{ip}/{}", self.byte() % 129)
        };
        Cidr::parse(&text).unwrap()
    }

    fn ip(&mut self) -> std::net::IpAddr {
        self.cidr().ip().to_canonical()
    }
}

fn made(feed: &mut Feed<'_>) -> AddResult {
    AddResult {
        interfaces: feed.some(|feed| Interface {
            name: feed.text(),
            mac: feed.text(),
            mtu: i64::from_le_bytes(feed.array()),
            sandbox: feed.text(),
            socket_path: feed.text(),
            pci_id: feed.text(),
        }),
        ips: feed.some(|feed| IpConfig {
            interface: feed.maybe(|feed| i64::from_le_bytes(feed.array())),
            address: feed.cidr(),
            gateway: feed.maybe(Feed::ip),
        }),
        routes: feed.some(|feed| Route {
            dst: feed.cidr(),
            gw: feed.maybe(Feed::ip),
            mtu: i64::from_le_bytes(feed.array()),
            advmss: i64::from_le_bytes(feed.array()),
            priority: i64::from_le_bytes(feed.array()),
            table: feed.maybe(|feed| i64::from_le_bytes(feed.array())),
            scope: feed.maybe(|feed| i64::from_le_bytes(feed.array())),
        }),
        dns: Dns {
            nameservers: feed.some(Feed::text),
            domain: feed.text(),
            search: feed.some(Feed::text),
            options: feed.some(Feed::text),
        },
    }
}
