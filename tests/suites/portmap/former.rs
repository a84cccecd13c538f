//! The table in the first layout: sets without expiry, masquerade for each address of a container, and chains without
//! a comment. Made like the former plugins', with our own library.

use std::net::IpAddr;

use linkspan_filter::table::{TABLE, owner};
use linkspan_harness::lab::Lab;
use linkspan_harness::table::netfilter;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::expr::{self, Expr, Header, MetaKey};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Element, Hook, Rule, Set};
use linkspan_nftables::{Batch, Netfilter};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;
use serde_json::Value;

use Datum::{Ipv4, Ipv6, Port, Protocol as Proto};

/// The sets of published ports, which differ from the current ones only in flags.
const PUBLISHED: [Set; 12] = [
    Set::of("publish_v4", &[Proto, Port]).to(&[Ipv4, Port]),
    Set::of("publish_v6", &[Proto, Port]).to(&[Ipv6, Port]),
    Set::of("publish_addr_v4", &[Ipv4, Proto, Port]).to(&[Ipv4, Port]),
    Set::of("publish_addr_v6", &[Ipv6, Proto, Port]).to(&[Ipv6, Port]),
    Set::of("localhost_v4", &[Proto, Port]).to(&[Ipv4]),
    Set::of("localhost_v6", &[Proto, Port]).to(&[Ipv6]),
    Set::of("localhost_addr_v4", &[Ipv4, Proto, Port]).to(&[Ipv4]),
    Set::of("localhost_addr_v6", &[Ipv6, Proto, Port]).to(&[Ipv6]),
    Set::of("hairpin_v4", &[Ipv4, Proto, Port]),
    Set::of("hairpin_v6", &[Ipv6, Proto, Port]),
    Set::of("sources_v4", &[Ipv4, Ipv4]).of_ranges(),
    Set::of("sources_v6", &[Ipv6, Ipv6]).of_ranges(),
];

/// Sources that are masqueraded, and each with the range of its neighbours.
const MASQUERADED: [[Set; 2]; 2] = [
    [
        Set::of("masq_v4", &[Ipv4]),
        Set::of("masq_except_v4", &[Ipv4, Ipv4]).of_ranges(),
    ],
    [
        Set::of("masq_v6", &[Ipv6]),
        Set::of("masq_except_v6", &[Ipv6, Ipv6]).of_ranges(),
    ],
];

/// Replaces the current layout by the first one, with the state of present attachments: the published ports, and the
/// masquerade of `results`, each with its owner.
pub(crate) fn put_back(lab: &Lab, results: &[(&str, &Value)]) {
    let netfilter = netfilter(lab);
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    batch.ensure_table(
        TABLE,
        "Linkspan CNI plugins: published ports and masquerade",
    );
    let sets: Vec<&Set> = MASQUERADED.iter().flatten().chain(&PUBLISHED).collect();
    batch.ensure(TABLE, &sets, &chains());
    for set in &PUBLISHED {
        batch.add(TABLE, set, &published(&netfilter, set), true);
    }
    for (owner, result) in results {
        for ip in result["ips"].as_array().unwrap() {
            masquerade(&mut batch, owner, ip["address"].as_str().unwrap());
        }
    }
    netfilter.commit(batch).unwrap();
    leave_groups(&lab.rtnl());
}

/// The elements of the current set with the same name. Connections from a loopback address to another address of the
/// host were not supported then.
fn published(netfilter: &Netfilter, set: &Set) -> Vec<Element> {
    let mut elements = netfilter.elements(TABLE, set).unwrap();
    elements.retain(|element| owner(element).is_some());
    if set.name.starts_with("localhost_addr") {
        elements.retain(|element| {
            element
                .key
                .read()
                .ip(if set.name.ends_with("v6") {
                    Family::V6
                } else {
                    Family::V4
                })
                .unwrap()
                .is_loopback()
        });
    }
    elements
}

fn masquerade(batch: &mut Batch, owner: &str, address: &str) {
    let address = Cidr::parse(address).unwrap();
    let ip = address.ip();
    let element = |key, key_end| Element {
        key,
        key_end,
        comment: owner.to_owned(),
        ..Element::default()
    };
    let pair = |neighbour: IpAddr| Fields::default().ip(ip).ip(neighbour);
    let [source, except] = &MASQUERADED[usize::from(ip.is_ipv6())];
    batch.add(
        TABLE,
        source,
        &[element(Fields::default().ip(ip), None)],
        true,
    );
    let neighbours = element(pair(address.network()), Some(pair(address.last())));
    batch.add(TABLE, except, &[neighbours], true);
}

/// The host ends of pairs were in no group.
fn leave_groups(host: &Rtnl) {
    let links = host.links().unwrap();
    for end in links.iter().filter(|link| link.group != 0) {
        end.set_group(0).unwrap();
    }
}

fn chains() -> Vec<Chain> {
    let chain = |name, place: Option<(ChainKind, Hook, i32)>, rules: Vec<Vec<Expr>>| Chain {
        name,
        base: place.map(|(kind, hook, priority)| Base {
            kind,
            hook,
            priority,
        }),
        comment: "",
        rules: rules.into_iter().map(|exprs| Rule { exprs }).collect(),
    };
    let nat = |hook, priority| Some((ChainKind::Nat, hook, priority));
    let filter = |hook, priority| Some((ChainKind::Filter, hook, priority));
    let to_this_host = || [expr::to_this_host().to_vec(), vec![expr::jump("publish")]].concat();
    let translated = [expr::translated().to_vec(), vec![expr::jump("published")]].concat();
    let each =
        |rules: fn(Family) -> Vec<Vec<Expr>>| [rules(Family::V4), rules(Family::V6)].concat();
    vec![
        chain("outbound", nat(Hook::Postrouting, 100), each(outbound)),
        chain("publish", None, each(publish)),
        chain("published", None, each(hairpin)),
        chain(
            "prerouting",
            nat(Hook::Prerouting, -95),
            vec![to_this_host()],
        ),
        chain("output", nat(Hook::Output, -95), vec![to_this_host()]),
        chain("postrouting", nat(Hook::Postrouting, 100), vec![translated]),
        chain(
            "localhost_out",
            filter(Hook::Output, -300),
            each(localhost_out),
        ),
        chain("localhost_in", filter(Hook::Input, 200), each(localhost_in)),
    ]
}

fn saddr(family: Family) -> Header {
    if family == Family::V6 {
        Header::IP6_SADDR
    } else {
        Header::IP_SADDR
    }
}

fn daddr(family: Family) -> Header {
    if family == Family::V6 {
        Header::IP6_DADDR
    } else {
        Header::IP_DADDR
    }
}

fn slots(family: Family) -> u32 {
    if family == Family::V6 { 4 } else { 1 }
}

fn named(set: &'static str, family: Family) -> String {
    format!("{set}_v{}", if family == Family::V6 { 6 } else { 4 })
}

fn rule(family: Family, rest: &[Expr]) -> Vec<Expr> {
    [&expr::of_family(family), rest].concat()
}

/// `ip saddr @masq_v4 ip daddr != 224.0.0.0/4 ip saddr . ip daddr != @masq_except_v4 masquerade`
fn outbound(family: Family) -> Vec<Vec<Expr>> {
    let multicast = if family == Family::V6 {
        vec![
            expr::load(Header::IP6_DADDR.first(1), 0),
            expr::differ(0, &[0xff]),
        ]
    } else {
        vec![
            expr::load(Header::IP_DADDR, 0),
            expr::mask(0, [0xf0, 0, 0, 0]),
            expr::differ(0, &[224, 0, 0, 0]),
        ]
    };
    let first = [
        expr::load(saddr(family), 0),
        expr::within(&named("masq", family), 0),
    ];
    let last = [
        expr::load(saddr(family), 0),
        expr::load(daddr(family), slots(family)),
        expr::without(&named("masq_except", family), 0),
        expr::masquerade(),
    ];
    vec![rule(family, &[&first[..], &multicast, &last].concat())]
}

/// Protocol and port from `slot` on.
fn port(slot: u32) -> [Expr; 2] {
    [
        expr::meta(MetaKey::L4Proto, slot),
        expr::load(Header::DPORT, slot + 1),
    ]
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @publish_addr_v4`, and without the address.
fn publish(family: Family) -> Vec<Vec<Expr>> {
    let [one, any] = by_key(family, "publish", &[expr::dnat(family, 0, slots(family))]);
    vec![rule(family, &one), rule(family, &any)]
}

/// The actions for entries of the map by address, protocol and port, and by protocol and port.
fn by_key(family: Family, map: &str, then: &[Expr]) -> [Vec<Expr>; 2] {
    let digit = if family == Family::V6 { 6 } else { 4 };
    let one = expr::map(&format!("{map}_addr_v{digit}"), 0);
    let any = expr::map(&format!("{map}_v{digit}"), 0);
    [
        [
            &[expr::load(daddr(family), 0)],
            &port(slots(family))[..],
            &[one],
            then,
        ]
        .concat(),
        [&port(0)[..], &[any], then].concat(),
    ]
}

/// `meta l4proto tcp ip daddr . ip saddr @sources_v4 ip daddr . meta l4proto . ct original proto-dst @hairpin_v4
/// masquerade`
fn hairpin(family: Family) -> Vec<Vec<Expr>> {
    let len = slots(family);
    let of_protocol = |number| {
        let protocol = [expr::meta(MetaKey::L4Proto, 0), expr::equal(0, &[number])];
        let then = [
            expr::load(daddr(family), 0),
            expr::load(saddr(family), len),
            expr::within(&named("sources", family), 0),
            expr::load(daddr(family), 0),
            expr::meta(MetaKey::L4Proto, len),
            expr::original_port(len + 1),
            expr::within(&named("hairpin", family), 0),
            expr::masquerade(),
        ];
        [&protocol[..], &rule(family, &then)].concat()
    };
    [6, 17, 132].map(of_protocol).to_vec()
}

fn loopback(family: Family) -> Vec<u8> {
    let mut bytes = vec![0; 15];
    bytes.push(1);
    if family == Family::V6 {
        bytes
    } else {
        vec![127, 0, 0, 1]
    }
}

/// `ip saddr 127.0.0.1 ip saddr set ip daddr . meta l4proto . th dport map @localhost_addr_v4`, and without the address.
fn localhost_out(family: Family) -> Vec<Vec<Expr>> {
    let from = [
        expr::load(saddr(family), 0),
        expr::equal(0, &loopback(family)),
    ];
    let given = by_key(family, "localhost", &[expr::store(saddr(family), 0)]);
    given
        .map(|then| rule(family, &[&from[..], &then].concat()))
        .to_vec()
}

/// `ip saddr 127.0.0.0/8 ip daddr != 127.0.0.0/8 ip daddr set 127.0.0.1`
fn localhost_in(family: Family) -> Vec<Vec<Expr>> {
    let (len, bytes) = if family == Family::V6 {
        (16, loopback(Family::V6))
    } else {
        (1, vec![127])
    };
    let answer = [
        expr::load(saddr(family).first(len), 0),
        expr::equal(0, &bytes),
        expr::load(daddr(family).first(len), 0),
        expr::differ(0, &bytes),
        expr::put(0, &loopback(family)),
        expr::store(daddr(family), 0),
    ];
    vec![rule(family, &answer)]
}
