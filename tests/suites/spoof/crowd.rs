//! Many attachments at once.

use linkspan_filter::table::BRIDGE_TABLE;
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::table::elements_in;

use crate::{LINKSPAN, call, guarded, lets_forged_through};

#[test]
fn many_at_once_are_guarded_and_go() {
    in_lab(LINKSPAN, |lab| {
        let names: Vec<String> = (0..16).map(|number| format!("c{number}")).collect();
        let pods: Vec<(&String, Sandbox)> = names.iter().map(|id| (id, lab.sandbox())).collect();
        let calls: Vec<_> = pods
            .iter()
            .map(|(id, sandbox)| call(lab, id, sandbox, &guarded()))
            .collect();
        let each = |verb: &str| {
            let running: Vec<_> = calls
                .iter()
                .map(|call| call.clone().verb(verb).spawn())
                .collect();
            for running in running {
                running.wait().succeeded();
            }
        };
        each("ADD");
        assert_eq!(elements_in(lab, BRIDGE_TABLE).len(), 2 * pods.len());
        for pair in pods.windows(2) {
            assert!(!lets_forged_through(&pair[0].1, &pair[1].1));
        }
        each("DEL");
        assert_eq!(elements_in(lab, BRIDGE_TABLE), [""; 0]);
    });
}
