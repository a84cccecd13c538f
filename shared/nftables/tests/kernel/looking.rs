//! Several questions at once, trials, expiry, and waiting for other writers.

use std::time::Duration;

use linkspan_harness::skip;
use linkspan_nftables::Batch;
use linkspan_nftables::changes::Changes;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::found::FoundChain;
use linkspan_nftables::look::{Answer, Question};
use linkspan_nftables::ruleset::{Element, Set};
use nix::errno::Errno;

use crate::{PAIRS, PORTS, TABLE, at_home, ensured, netfilter, port};

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
        // One rule in the chain, and one that jumps to it.
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
        // Kernels before 6.12 ignore the request.
        Some(found) if found.timeout == 0 => {
            skip::tell("expiry: this kernel does not change the timeout of an element");
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
fn elements_are_taken_as_they_were_found() {
    let Some((_netns, netfilter)) = netfilter() else {
        return;
    };
    let mut batch = ensured();
    batch.add(TABLE, &PORTS, &[port(1), port(2)], true);
    batch.add(TABLE, &PAIRS, &[at_home(1)], true);
    netfilter.commit(batch).unwrap();
    let take = |ports: &[Element], pairs: &[Element]| {
        let mut batch = Batch::default();
        batch.take(TABLE, &PORTS, ports);
        batch.take(TABLE, &PAIRS, pairs);
        netfilter.commit(batch)
    };
    // Another owner has one of the elements: nothing goes.
    let foreign = Element {
        value: port(2).value,
        ..port(1)
    };
    let err = take(&[port(2), foreign], &[at_home(1)]).unwrap_err();
    assert!(err.is(Errno::EEXIST), "{err}");
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap().len(), 2);
    // Some elements are gone: the rest goes.
    take(&[port(1), port(3)], &[at_home(1), at_home(2)]).unwrap();
    assert_eq!(netfilter.elements(TABLE, &PORTS).unwrap(), [port(2)]);
    assert_eq!(netfilter.elements(TABLE, &PAIRS).unwrap(), []);
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
