//! The result of ADD from a server's answer.

use std::net::IpAddr;

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::{AddResult, Dns, IpConfig, Route};

use crate::clock::Moment;
use crate::conf::Shape;
use crate::lease::Lease4;
use crate::merge::merge;
use crate::record::Record;
use crate::wire::domain;
use crate::wire::message::Message;
use crate::wire::option;
use crate::wire::routes::routes;

/// The minimum MTU of IPv4 (RFC 2132, section 5.1).
const MTU_MIN: u16 = 68;

/// The result of an attachment with these leases.
pub(crate) fn result(record: &Record, shape: &Shape) -> AddResult {
    let mut result = AddResult::default();
    if let Some(lease) = &record.four {
        add_four(&mut result, lease, shape);
    }
    if let Some(lease) = &record.six {
        lease.add_to(&mut result, shape);
    }
    if shape.no_gateway {
        for ip in &mut result.ips {
            ip.gateway = None;
        }
        result.routes.retain(|route| !route.dst.is_default());
    }
    result.routes.extend(shape.routes.iter().cloned());
    if shape.priority != 0 {
        for route in &mut result.routes {
            route.priority = shape.priority;
        }
    }
    result
}

fn add_four(result: &mut AddResult, lease: &Lease4, shape: &Shape) {
    let gateway = lease.ack.addresses(option::ROUTERS).first().copied();
    result
        .ips
        .extend(address(&lease.ack).map(|address| IpConfig {
            interface: None,
            address,
            gateway: gateway.map(IpAddr::from),
        }));
    let mtu = if shape.mtu { mtu(&lease.ack) } else { None };
    result
        .routes
        .extend(routes(&lease.ack).into_iter().map(|route| Route {
            mtu: mtu.unwrap_or_default(),
            ..route
        }));
    if shape.dns {
        merge(&mut result.dns, dns(&lease.ack));
    }
}

/// The result of a message's bytes.
pub(crate) fn of_bytes(payload: &[u8]) -> Option<AddResult> {
    let lease = Lease4 {
        ack: Message::parse(payload)?,
        server_mac: [0; 6],
        obtained: Moment(0),
    };
    let shape = Shape {
        dns: true,
        mtu: true,
        ..Shape::default()
    };
    let mut result = AddResult::default();
    add_four(&mut result, &lease, &shape);
    lease
        .times()
        .is_none_or(|times| times.t1 <= times.t2)
        .then_some(result)
}

/// The address with its prefix length; `None` if the server sent no valid mask.
pub(crate) fn address(ack: &Message) -> Option<Cidr> {
    let mask = u32::from(ack.address(option::MASK)?);
    let prefix = mask.leading_ones();
    (mask.count_ones() == prefix).then_some(())?;
    Cidr::new(ack.yours.into(), u8::try_from(prefix).ok()?)
}

fn mtu(ack: &Message) -> Option<i64> {
    let both: [u8; 2] = ack.options.get(&option::MTU)?.as_slice().try_into().ok()?;
    let mtu = u16::from_be_bytes(both);
    (mtu >= MTU_MIN).then(|| mtu.into())
}

fn dns(ack: &Message) -> Dns {
    let servers = ack.addresses(option::DNS).into_iter();
    let servers = servers.filter(|ip| !ip.is_unspecified() && !ip.is_broadcast());
    let told = ack.options.get(&option::SEARCH);
    let domain = ack
        .text(option::DOMAIN)
        .and_then(|text| domain::plain(&text));
    Dns {
        nameservers: servers.map(|ip| ip.to_string()).collect(),
        domain: domain.unwrap_or_default(),
        search: told
            .and_then(|option| domain::search(option))
            .unwrap_or_default(),
        options: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;

    fn told() -> Record {
        let mut record = sample("c", 60);
        let lease = record.four.as_mut().unwrap();
        lease.ack.options.extend([
            (option::ROUTERS, vec![10, 0, 0, 1]),
            (option::STATIC_ROUTES, vec![192, 168, 7, 0, 10, 0, 0, 2]),
            (option::DNS, vec![10, 0, 0, 3, 0, 0, 0, 0]),
            (option::DOMAIN, b"lan".to_vec()),
            (option::SEARCH, b"\x01a\x00\x01b\x00".to_vec()),
            (option::MTU, vec![5, 0]),
        ]);
        record
    }

    #[test]
    fn without_a_word_the_result_is_the_references() {
        let result = result(&told(), &Shape::default());
        assert_eq!(result.ips[0].address.to_string(), "10.0.0.9/24");
        assert_eq!(result.ips[0].gateway, Some([10, 0, 0, 1].into()));
        assert!(result.dns.is_empty());
        let routes: Vec<_> = result
            .routes
            .iter()
            .map(|route| (route.dst.to_string(), route.mtu))
            .collect();
        assert_eq!(
            routes,
            [
                ("192.168.7.0/24".to_owned(), 0),
                ("0.0.0.0/0".to_owned(), 0)
            ]
        );
    }

    #[test]
    fn what_is_asked_for_is_told_and_what_is_suppressed_is_not() {
        let shape = Shape {
            priority: 7,
            no_gateway: true,
            routes: vec![Route::via(Cidr::parse("10.9.0.0/16").unwrap(), None)],
            dns: true,
            mtu: true,
        };
        let result = result(&told(), &shape);
        assert_eq!(result.ips[0].gateway, None);
        let routes: Vec<_> = result
            .routes
            .iter()
            .map(|route| (route.dst.to_string(), route.mtu, route.priority))
            .collect();
        assert_eq!(
            routes,
            [
                ("192.168.7.0/24".to_owned(), 1280, 7),
                ("10.9.0.0/16".to_owned(), 0, 7)
            ]
        );
        assert_eq!(result.dns.nameservers, ["10.0.0.3"]);
        assert_eq!(
            (result.dns.domain.as_str(), result.dns.search.len()),
            ("lan", 2)
        );
    }

    #[test]
    fn a_mask_with_holes_and_a_mask_that_is_not_told_give_no_address() {
        let mut ack = told().four.unwrap().ack;
        ack.options.insert(option::MASK, vec![255, 0, 255, 0]);
        assert_eq!(address(&ack), None);
        ack.options.remove(&option::MASK);
        assert_eq!(address(&ack), None);
    }
}
