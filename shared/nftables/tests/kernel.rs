//! The crate against the real kernel, in a namespace of each test's own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells loudly what it skips"
)]

use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use linkspan_netlink::netns::Netns;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::found::FoundChain;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Base, Chain, ChainKind, Element, Family, Hook, Rule, Set, Table};
use linkspan_nftables::{Batch, Netfilter, expr};
use nix::errno::Errno;

const TABLE: Table = Table {
    family: Family::Inet,
    name: "test",
};

const PORTS: Set =
    Set::of("ports", &[Datum::Protocol, Datum::Port]).to(&[Datum::Ipv4, Datum::Port]);

const PAIRS: Set = Set::of("pairs", &[Datum::Ipv4, Datum::Ipv4])
    .of_ranges()
    .expiring();

/// How often a list is asked for while somebody changes it.
const LISTS: usize = 300;

/// A connection to a namespace of the test's own; `None` where this user may not make one.
fn netfilter() -> Option<(Netns, Netfilter)> {
    match Netns::create() {
        Err(err) if err.is(Errno::EPERM) => {
            eprintln!("SKIPPED: {err}; run the tests as root, or under `unshare -rn`");
            None
        }
        made => {
            let netns = made.unwrap();
            let netfilter = netns.scope(Netfilter::open).unwrap().unwrap();
            Some((netns, netfilter))
        }
    }
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
        expr::of_family(false).to_vec(),
        vec![
            expr::meta(expr::MetaKey::L4Proto, 0),
            expr::load(expr::Header::DPORT, 1),
            expr::map(PORTS.name, 0),
            expr::dnat(false, 0, 1),
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
fn several_questions_are_answered_in_their_order() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    batch.add(TABLE, &PORTS, &[port(1)], true);
    let questions = [
        Question::Chain(TABLE, "prerouting"),
        Question::Element(TABLE, &PORTS, &port(1)),
        Question::Element(TABLE, &PORTS, &port(2)),
        Question::Chain(TABLE, "publish"),
        Question::Element(TABLE, &PORTS, &Element::of(Fields::default().mark(7))),
    ];
    let missing = netfilter.look(&questions).unwrap();
    assert_eq!(missing, vec![Answer::Missing; questions.len()]);
    netfilter.commit(batch).unwrap();
    let chain = |name: &str, uses, comment: &str| FoundChain {
        name: name.to_owned(),
        uses,
        comment: comment.to_owned(),
    };
    let found = netfilter.look(&questions).unwrap();
    let expected = [
        Answer::Chain(chain("prerouting", 1, "a test of comments")),
        Answer::Element(port(1)),
        Answer::Missing,
        // A rule of its own, and one that leads there.
        Answer::Chain(chain("publish", 2, "")),
    ];
    assert_eq!(found[..4], expected);
    let refused = matches!(&found[4], Answer::Refused(err) if err.is(Errno::EINVAL));
    assert!(refused, "{found:?}");
    assert_eq!(netfilter.look(&[]).unwrap(), []);
}

#[test]
fn sets_are_told_by_their_flags_and_types() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    netfilter.commit(ensured()).unwrap();
    let found = netfilter.sets(TABLE).unwrap();
    let is = |set: &Set| found.iter().filter(|found| found.is(set)).count();
    assert_eq!((found.len(), is(&PORTS), is(&PAIRS)), (2, 1, 1));
    assert_eq!(is(&PORTS.expiring()), 0);
    assert_eq!(is(&PORTS.to(&[Datum::Ipv6, Datum::Port])), 0);
    assert_eq!(is(&Set::of("pairs", &[Datum::Ipv4]).expiring()), 0);
}

#[test]
fn a_batch_that_is_only_tried_leaves_nothing() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    batch.fail(TABLE);
    let err = netfilter.commit(batch).unwrap_err();
    assert!(err.is(Errno::EEXIST), "{err}");
    assert_eq!(netfilter.chains(TABLE).unwrap(), [""; 0]);
    assert!(netfilter.sets(TABLE).unwrap().is_empty());
}

#[test]
fn an_element_that_expires_is_gone_and_its_key_is_free() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    let (staying, going) = (at_home(1), at_home(2));
    batch.add(TABLE, &PAIRS, &[staying.clone(), going.clone()], true);
    netfilter.commit(batch).unwrap();
    let going = netfilter.element(TABLE, &PAIRS, &going).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.expire(TABLE, &PAIRS, std::slice::from_ref(&going));
    netfilter.commit(batch).unwrap();
    let look = || netfilter.element(TABLE, &PAIRS, &going).unwrap();
    match look() {
        // A kernel before 6.12 ignores the request.
        Some(found) if found.timeout == 0 => {
            eprintln!("SKIPPED expiry: this kernel does not change the timeout of an element");
            return;
        }
        _ => {
            let changes = Changes::open().unwrap();
            while look().is_some() {
                changes.wait(Duration::from_millis(1)).unwrap();
            }
        }
    }
    assert_eq!(netfilter.elements(TABLE, &PAIRS).unwrap(), [staying]);
    let mut batch = Batch::default();
    batch.add(TABLE, &PAIRS, &[going], true);
    netfilter.commit(batch).unwrap();
}

#[test]
fn a_change_ends_the_wait_for_one() {
    let Some((netns, netfilter)) = netfilter() else {
        return;
    };
    let changes = netns.scope(Changes::open).unwrap().unwrap();
    netfilter.commit(ensured()).unwrap();
    // Longer than any test may take.
    changes.wait(Duration::from_secs(600)).unwrap();
}

#[test]
fn elements_come_back_as_they_went_in() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    // More than one message, more than one answer.
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
    // Both are refused, and the next batch is not taken for the second.
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

/// A source and the network that it is at home in.
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

fn add_one(batch: &mut Batch, table: Table, set: &Set, elements: &[Element]) {
    batch.add(table, set, elements, true);
}

fn stays(element: &Element) -> bool {
    let source = element.key.read().ip(false);
    source.is_some_and(|source| source > ip(100))
}
