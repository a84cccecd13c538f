//! Keys that come and go faster than the kernel can follow: it rebuilds the set's table, and refuses elements
//! meanwhile (`EBUSY`).

use std::thread;

use linkspan_filter::table::{Guard, TABLE, attempt, remove};
use linkspan_harness::lab::in_lab;
use linkspan_harness::table::netfilter;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set};

use crate::LINKSPAN;

const SET: &Set = &Set::of("ports", &[Datum::Port]).expiring();

/// The element of one owner.
fn element(port: u16) -> Element {
    Element {
        key: Fields::default().port(port),
        comment: format!("net/c{port}/eth0"),
        ..Element::default()
    }
}

#[test]
fn an_element_that_the_kernel_has_no_place_for_just_now_gets_one() {
    in_lab(LINKSPAN, |lab| {
        let mut batch = Batch::default();
        batch.ensure_table(TABLE, "");
        batch.ensure(TABLE, &[SET], &[]);
        netfilter(lab).commit(batch).unwrap();
        let come_and_go = |port: u16| {
            let (netfilter, own) = (netfilter(lab), element(port));
            for _ in 0..400 {
                let add = || {
                    let mut batch = Batch::default();
                    batch.add(TABLE, SET, std::slice::from_ref(&own), true);
                    Ok((batch, Guard::Values))
                };
                attempt(&netfilter, add).unwrap().unwrap();
                let is_own = |found: &Element| found.comment == own.comment;
                remove(&netfilter, TABLE, &[SET], is_own).unwrap();
            }
        };
        thread::scope(|scope| {
            for port in [1, 2, 3] {
                scope.spawn(move || come_and_go(port));
            }
        });
        assert_eq!(netfilter(lab).elements(TABLE, SET).unwrap(), []);
    });
}
