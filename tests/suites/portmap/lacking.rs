//! A kernel with nf_tables, but without some feature that a part of the table needs. A rule with a missing set
//! simulates that: the kernel refuses both with `ENOENT`.

use linkspan_filter::table::{LAYOUT, Part, Support, TABLE, make, ready, support};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::table::{everything, netfilter};
use linkspan_nftables::datum::Datum;
use linkspan_nftables::expr;
use linkspan_nftables::ruleset::{Chain, Rule, Set};
use serde_json::json;

use crate::{LINKSPAN, Pod, both};

static PART: Part = Part {
    name: "what cannot be",
    table: TABLE,
    sets: &[&Set::of("possible", &[Datum::Port])],
    chains: || {
        let chain = |name, exprs| Chain {
            name,
            base: None,
            comment: LAYOUT,
            rules: vec![Rule { exprs }],
        };
        vec![
            chain("possible", vec![expr::leave()]),
            chain(
                "impossible",
                vec![expr::within("nowhere", 0), expr::leave()],
            ),
        ]
    },
    convert: |_, _| Ok(Vec::new()),
};

/// The kernel's refusal is reported, and nothing is left of the attempt.
fn is_refused(lab: &Lab) {
    let before = everything(lab);
    for attempt in [support, ready] {
        let told = match attempt(&PART).unwrap() {
            Support::Lacking(err) => err.to_string(),
            support => format!("{support:?}"),
        };
        assert!(told.contains("add a rule to chain impossible"), "{told}");
        assert_eq!(everything(lab), before);
    }
    assert!(make(&netfilter(lab), &PART).unwrap().is_some());
    assert_eq!(everything(lab), before);
}

#[test]
fn what_the_kernel_lacks_is_told_and_nothing_is_left_of_the_attempt() {
    in_lab(LINKSPAN, |lab| {
        is_refused(lab);
        // Existing state is not harmed either.
        let pod = Pod::published(lab, "pod", &both(8080));
        is_refused(lab);
        pod.portmap(lab).check(&pod.result);
        pod.bridge(lab).check(&pod.result);
        let empty = Pod::attach(lab, "empty", &json!([]));
        empty.bridge(lab).check(&empty.result);
    });
}
