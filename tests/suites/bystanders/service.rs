//! Services like kube-proxy's, with a backend that is not a pod: on an address without an owner, on a port of the node
//! (30080), and on one that a pod of ours publishes, too (20160).

use std::net::IpAddr;

use linkspan_netlink::route::RouteSpec;
use linkspan_nftables::expr::{self, Expr, Header};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Hook, Rule};
use linkspan_protocol::family::Family;

use crate::stage::Stage;
use crate::{Kind, conversation};

pub(crate) const KIND: Kind = Kind {
    build,
    ask: |stage| conversation::answers(stage, TABLE),
};

/// The port of the node that a pod of ours publishes, too.
pub(crate) const TAKEN: u16 = 20160;

/// `NF_IP_PRI_NAT_DST`, where kube-proxy has its chains.
pub(crate) const DSTNAT: i32 = -100;

const VIRTUAL: [&str; 2] = ["10.96.0.10", "fd96::10"];
const BACKEND: [&str; 2] = ["198.51.100.2", "2001:db8:1::2"];

fn build(stage: &mut Stage<'_>) {
    let [virtuals, backends] = [VIRTUAL, BACKEND].map(|pair| pair.map(address));
    let side = stage.lab.rtnl().link_by_name("side0").unwrap().unwrap();
    let mut rules = Vec::new();
    for (service, backend) in virtuals.into_iter().zip(backends) {
        rules.push(forward_port(Some(service), 443, (backend, 8443)));
        for port in [30080, TAKEN] {
            rules.push(forward_port(None, port, (backend, 8443)));
        }
        // The host needs some route to it.
        let len = if service.is_ipv6() { 128 } else { 32 };
        let way = RouteSpec {
            gw: Some(backend),
            ..RouteSpec::to(service, len)
        };
        side.add_route(&way).unwrap();
    }
    let chain = |name, hook| Chain {
        name,
        comment: "",
        base: Some(Base {
            kind: ChainKind::Nat,
            hook,
            priority: DSTNAT,
        }),
        rules: rules.clone(),
    };
    let chains = [
        chain("nat-prerouting", Hook::Prerouting),
        chain("nat-output", Hook::Output),
    ];
    stage.rules("kube-proxy", &chains);
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Forwards a port of that address, or of this host, to another address and port.
pub(crate) fn forward_port(service: Option<IpAddr>, port: u16, to: (IpAddr, u16)) -> Rule {
    let family = Family::of(to.0);
    let mut exprs: Vec<Expr> = expr::of_family(family).to_vec();
    match service {
        Some(service) => {
            let destination = if family == Family::V6 {
                Header::IP6_DADDR
            } else {
                Header::IP_DADDR
            };
            exprs.extend([expr::load(destination, 0), expr::equal(0, &octets(service))]);
        }
        None => exprs.extend(expr::to_this_host()),
    }
    exprs.extend([
        expr::load(Header::DPORT, 0),
        expr::equal(0, &port.to_be_bytes()),
        expr::put(0, &octets(to.0)),
        expr::put(4, &to.1.to_be_bytes()),
        expr::dnat(family, 0, 4),
    ]);
    Rule { exprs }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

const TABLE: &str = "
    # caller  from                    calls                   server  at                      seen
    world     192.0.2.2:20010         10.96.0.10:443          other   198.51.100.2:8443       192.0.2.2
    world     192.0.2.2:20011         192.0.2.1:30080         other   198.51.100.2:8443       192.0.2.2
    world     192.0.2.2:20012         192.0.2.1:20160         other   198.51.100.2:8443       192.0.2.2
    host      198.51.100.1:20013      10.96.0.10:443          other   198.51.100.2:8443       198.51.100.1
    host      198.51.100.1:20014      192.0.2.1:30080         other   198.51.100.2:8443       198.51.100.1
    host      198.51.100.1:20015      192.0.2.1:20160         other   198.51.100.2:8443       198.51.100.1
    world     [2001:db8::2]:20016     [fd96::10]:443          other   [2001:db8:1::2]:8443    2001:db8::2
    world     [2001:db8::2]:20017     [2001:db8::1]:30080     other   [2001:db8:1::2]:8443    2001:db8::2
    world     [2001:db8::2]:20018     [2001:db8::1]:20160     other   [2001:db8:1::2]:8443    2001:db8::2
    host      [2001:db8:1::1]:20019   [fd96::10]:443          other   [2001:db8:1::2]:8443    2001:db8:1::1
    host      [2001:db8:1::1]:20020   [2001:db8::1]:30080     other   [2001:db8:1::2]:8443    2001:db8:1::1
    host      [2001:db8:1::1]:20021   [2001:db8::1]:20160     other   [2001:db8:1::2]:8443    2001:db8:1::1
";
