//! The crate against the real kernel, in a separate namespace for each test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod looking;

use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;

use linkspan_harness::skip;
use linkspan_harness::tool::tool;
use linkspan_netlink::netns::Netns;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{
    Base, Chain, ChainKind, Element, Hook, Rule, Set, Table, TableFamily,
};
use linkspan_nftables::survey::FoundSet;
use linkspan_nftables::xtables::Nat;
use linkspan_nftables::{Batch, Netfilter, expr};
use linkspan_protocol::family::Family;
use nix::errno::Errno;

const TABLE: Table = Table {
    family: TableFamily::Inet,
    name: "test",
};

const PORTS: Set =
    Set::of("ports", &[Datum::Protocol, Datum::Port]).to(&[Datum::Ipv4, Datum::Port]);

const PAIRS: Set = Set::of("pairs", &[Datum::Ipv4, Datum::Ipv4])
    .of_ranges()
    .expiring();

/// Number of dumps while another writer changes the set.
const LISTS: usize = 300;

/// A connection to a new namespace; `None` if this user may not create one.
fn netfilter() -> Option<(Netns, Netfilter)> {
    let netns = skip::namespace()?;
    let netfilter = netns.scope(Netfilter::open).unwrap().unwrap();
    Some((netns, netfilter))
}

fn ip(last: u16) -> IpAddr {
    let [high, low] = last.to_be_bytes();
    IpAddr::from([10, 1, high, low])
}

fn port(port: u16) -> Element {
    Element {
        key: Fields::default().protocol(6).port(port),
        value: Some(Fields::default().ip(ip(port)).port(80)),
        comment: format!("net/c{port}/eth0"),
        record: vec![7; 9],
        ..Element::default()
    }
}

fn chains() -> Vec<Chain> {
    let to_map = [
        expr::of_family(Family::V4).to_vec(),
        vec![
            expr::meta(expr::MetaKey::L4Proto, 0),
            expr::load(expr::Header::DPORT, 1),
            expr::map(PORTS.name, 0),
            expr::dnat(Family::V4, 0, 1),
        ],
    ];
    let base = Base {
        kind: ChainKind::Nat,
        hook: Hook::Prerouting,
        priority: -95,
    };
    let jump = [expr::to_this_host().to_vec(), vec![expr::jump("publish")]];
    vec![
        Chain {
            name: "publish",
            base: None,
            comment: "",
            rules: vec![Rule {
                exprs: to_map.concat(),
            }],
        },
        Chain {
            name: "prerouting",
            base: Some(base),
            comment: "a test of comments",
            rules: vec![Rule {
                exprs: jump.concat(),
            }],
        },
    ]
}

fn ensured() -> Batch {
    let mut batch = Batch::default();
    batch.ensure_table(TABLE, "a test");
    batch.ensure(TABLE, &[&PORTS, &PAIRS], &chains());
    batch
}

#[test]
fn what_is_ensured_twice_is_there_once() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    netfilter.commit(ensured()).unwrap();
    netfilter.commit(ensured()).unwrap();
    assert_eq!(netfilter.chains(TABLE).unwrap(), ["publish", "prerouting"]);
    let rules = netfilter.rules(TABLE, "prerouting").unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].target.as_deref(), Some("publish"));
}

#[test]
fn the_sets_of_a_table_are_found_as_they_were_made() {
    const INTERVAL: u32 = 1 << 2;
    const MAP: u32 = 1 << 3;
    const TIMEOUT: u32 = 1 << 4;
    const CONCAT: u32 = 1 << 7;
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    assert_eq!(netfilter.sets(TABLE).unwrap(), []);
    netfilter.commit(ensured()).unwrap();
    let found = |set: Set, key_len, flags| FoundSet {
        name: set.name.to_owned(),
        key: Some(set.key.to_vec()),
        key_len,
        value: Some(set.value.to_vec()),
        flags,
    };
    let expected = [
        found(PORTS, 8, MAP),
        found(PAIRS, 8, INTERVAL | TIMEOUT | CONCAT),
    ];
    assert_eq!(netfilter.sets(TABLE).unwrap(), expected);
    let other = Table {
        name: "other",
        ..TABLE
    };
    assert_eq!(netfilter.sets(other).unwrap(), []);
}

#[test]
fn everything_is_told_and_each_change_shows() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let everything = || netfilter.everything().unwrap();
    let commit = |change: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::default();
        change(&mut batch);
        netfilter.commit(batch).unwrap();
        everything()
    };
    assert_eq!(everything(), [""; 0]);
    let empty = commit(&|batch| *batch = ensured());
    let words = |word: &str| empty.iter().filter(|line| line.starts_with(word)).count();
    let counts = ["table inet test", "chain ", "set ", "rule ", "element "].map(words);
    assert_eq!(counts, [1, 2, 2, 2, 0], "{empty:#?}");
    // A recreated object has a new handle, which must not show.
    assert_eq!(commit(&|batch| *batch = ensured()), empty);
    let ports: Vec<_> = (1..=300).map(port).collect();
    let full = commit(&|batch| batch.add(TABLE, &PORTS, &ports, true));
    assert_eq!(full.len(), empty.len() + ports.len());
    // A different value, owner or range is a different line; a missing rule is a missing line.
    let one = port(7);
    let moved = Element {
        value: port(8).value,
        ..one.clone()
    };
    let inherited = Element {
        comment: "net/heir/eth0".to_owned(),
        ..one.clone()
    };
    for other in [moved, inherited] {
        let changed = commit(&|batch| {
            batch.delete(TABLE, &PORTS, std::slice::from_ref(&one));
            batch.add(TABLE, &PORTS, std::slice::from_ref(&other), true);
        });
        assert_eq!(changed.len(), full.len());
        assert_ne!(changed, full);
        let restored = commit(&|batch| {
            batch.delete(TABLE, &PORTS, std::slice::from_ref(&one));
            batch.add(TABLE, &PORTS, std::slice::from_ref(&one), true);
        });
        assert_eq!(restored, full);
    }
    let ranged = commit(&|batch| batch.add(TABLE, &PAIRS, &[at_home(5)], true));
    assert_eq!(ranged.len(), full.len() + 1);
    let flushed = commit(&|batch| batch.flush_chain(TABLE, "publish"));
    assert_eq!(flushed.len(), ranged.len() - 1);
    assert_eq!(commit(&|batch| batch.delete_table(TABLE)), [""; 0]);
}

#[test]
fn elements_come_back_as_they_went_in() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    // More than one message and more than one answer.
    let ports: Vec<_> = (1..=1000).map(port).collect();
    batch.add(TABLE, &PORTS, &ports, true);
    let pair = Element {
        key: Fields::default().ip(ip(5)).ip(ip(0)),
        key_end: Some(Fields::default().ip(ip(5)).ip(ip(u16::MAX))),
        comment: "c".repeat(200),
        ..Element::default()
    };
    batch.add(TABLE, &PAIRS, std::slice::from_ref(&pair), true);
    netfilter.commit(batch).unwrap();
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap(), ports);
    let pairs = netfilter.elements(TABLE, &PAIRS).unwrap();
    assert_eq!(
        (&pairs[0].key, &pairs[0].key_end),
        (&pair.key, &pair.key_end)
    );
    assert_eq!(pairs[0].comment.len(), 128);
    let one = netfilter.element(TABLE, &PORTS, &port(7)).unwrap();
    assert_eq!(one, Some(port(7)));
    assert_eq!(netfilter.element(TABLE, &PORTS, &port(1001)).unwrap(), None);
    let mut batch = Batch::default();
    batch.delete(TABLE, &PORTS, &ports);
    netfilter.commit(batch).unwrap();
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap(), []);
}

#[test]
fn a_refused_step_is_named_and_nothing_of_its_batch_happened() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut missing = Batch::default();
    // Both steps are refused. The second error must not be taken for the next batch's.
    missing.add(TABLE, &PORTS, &[port(1)], true);
    missing.add(TABLE, &PORTS, &[port(2)], true);
    let err = netfilter.commit(missing).unwrap_err();
    assert!(err.is(Errno::ENOENT), "{err}");
    assert!(
        err.to_string()
            .starts_with("add elements to map ports in table inet test"),
        "{err}"
    );
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap(), []);
    assert_eq!(netfilter.rules(TABLE, "publish").unwrap(), []);

    let mut batch = ensured();
    batch.add(TABLE, &PORTS, &[port(1)], true);
    netfilter.commit(batch).unwrap();
    let mut half = Batch::default();
    half.add(TABLE, &PORTS, &[port(2)], true);
    half.add(TABLE, &PORTS, &[port(1)], true);
    assert!(netfilter.commit(half).unwrap_err().is(Errno::EEXIST));
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap(), [port(1)]);
}

#[test]
fn a_batch_of_an_older_generation_is_refused() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let seen = netfilter.generation().unwrap();
    netfilter.commit(ensured()).unwrap();
    let mut late = Batch::default();
    late.add(TABLE, &PORTS, &[port(1)], true);
    late.at(seen);
    assert!(netfilter.commit(late).unwrap_err().is(Errno::ERESTART));
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    batch.at(netfilter.generation().unwrap());
    netfilter.commit(batch).unwrap();
    assert_eq!(netfilter.chains(TABLE).unwrap(), [""; 0]);
}

/// A source and its home network.
fn at_home(source: u16) -> Element {
    let pair = |last: u16| Fields::default().ip(ip(source)).ip(ip(last));
    Element {
        key: pair(0),
        key_end: Some(pair(u16::MAX)),
        comment: format!("net/c{source}/eth0"),
        ..Element::default()
    }
}

#[test]
fn a_list_of_ranges_misses_nobody_who_stays_while_others_go() {
    let Some((netns, netfilter)) = netfilter() else {
        return;
    };
    netfilter.commit(ensured()).unwrap();
    let restless: Vec<_> = (1..=100).map(at_home).collect();
    let staying: Vec<_> = (101..=700).map(at_home).collect();
    let mut batch = Batch::default();
    batch.add(TABLE, &PAIRS, &restless, true);
    batch.add(TABLE, &PAIRS, &staying, true);
    netfilter.commit(batch).unwrap();
    let (ask, asked) = mpsc::channel();
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let other = netns.scope(Netfilter::open).unwrap().unwrap();
            for (one, ()) in restless.iter().cycle().zip(asked) {
                for change in [Batch::delete, add_one] {
                    let mut batch = Batch::default();
                    change(&mut batch, TABLE, &PAIRS, std::slice::from_ref(one));
                    other.commit(batch).unwrap();
                }
            }
        });
        let lists = (0..LISTS).map(|_| {
            ask.send(()).unwrap();
            let listed = netfilter.elements(TABLE, &PAIRS).unwrap();
            listed.iter().filter(|one| stays(one)).count()
        });
        let shortest = lists.min();
        drop(ask);
        changes.join().unwrap();
        assert_eq!(shortest, Some(staying.len()));
    });
}

/// Chains of iptables-legacy in both families, created with its own program.
#[test]
fn chains_of_the_older_table_nat_are_found_and_a_look_makes_no_table() {
    let Some((netns, _)) = netfilter() else {
        return;
    };
    // The reader and its child processes must be in the namespace.
    let looked = netns.scope(|| {
        for (family, program) in [
            (Family::V4, "iptables-legacy"),
            (Family::V6, "ip6tables-legacy"),
        ] {
            let used = || {
                let family = family.pick("ip", "ip6");
                let names = format!("/proc/thread-self/net/{family}_tables_names");
                std::fs::read_to_string(names).unwrap_or_default()
            };
            let has = |chain: &str| Nat::read(family).unwrap().has_chain(chain);
            assert!(!has("CNI-1") && !has("PREROUTING"));
            assert_eq!(used(), "");
            let run = |args: &[&str]| tool(program, &[&["-w", "-t", "nat"], args].concat());
            if run(&["-S"]).is_none() {
                return;
            }
            assert_eq!(used(), "nat\n");
            // First a table with only policies, then one with only rules, then chains between rules.
            assert!(!Nat::read(family).unwrap().has_chains(""));
            run(&["-A", "POSTROUTING", "-p", "tcp", "-j", "RETURN"]);
            assert!(!Nat::read(family).unwrap().has_chains(""));
            for chain in ["CNI-1", "CNI-DN-22", "ERROR1"] {
                run(&["-N", chain]);
                let told = ["-m", "comment", "--comment", "CNI-3"];
                run(&[&["-A", "OUTPUT", "-j", chain], &told[..]].concat());
                assert!(has(chain) && !has(&chain[..4]), "{chain}");
            }
            let nat = Nat::read(family).unwrap();
            assert!(nat.has_chains("CNI-") && nat.has_chains("CNI-DN-"));
            assert!(!nat.has_chains("CNI-3") && !nat.has_chain("OUTPUT"));
            run(&["-F"]);
            run(&["-X"]);
            assert!(!Nat::read(family).unwrap().has_chains(""));
        }
    });
    looked.unwrap();
}

fn add_one(batch: &mut Batch, table: Table, set: &Set, elements: &[Element]) {
    batch.add(table, set, elements, true);
}

fn stays(element: &Element) -> bool {
    let source = element.key.read().ip(Family::V4);
    source.is_some_and(|source| source > ip(100))
}
