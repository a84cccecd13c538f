//! Each suite checks, and removes, the other's state.

use linkspan_harness::lab::{go_plugins, in_lab};
use linkspan_netlink::tc_filter::Hook;

use crate::{
    CONTAINERD, CRIO, LINKSPAN, both, bucket, by_runtime, call, conf, host_end, ifbs, is_able, pair,
};

#[test]
fn each_suite_checks_and_takes_away_what_the_other_made() {
    in_lab(LINKSPAN, |lab| {
        let (Some(go), true) = (go_plugins("bandwidth"), is_able(lab)) else {
            return;
        };
        for ours_first in [true, false] {
            let sandbox = lab.sandbox();
            let previous = pair(lab, "dummy", &sandbox).add();
            let end = host_end(lab, &previous);
            let ours = call(lab, "dummy", &sandbox, &previous, &both());
            let theirs = lab.foreign(go, "bandwidth").of("dummy", &sandbox);
            let theirs = theirs.conf(&conf(&both())).after(&previous);
            let (adds, deletes) = if ours_first {
                (&ours, &theirs)
            } else {
                (&theirs, &ours)
            };
            let result = adds.add();
            let made = [bucket(&end), bucket(&ifbs(&lab.rtnl())[0])];
            let expected = [1000, 2000].map(Some);
            assert_eq!(made.map(|made| made.map(|made| made.rate)), expected);
            assert_eq!(
                end.filters(Hook::Ingress)
                    .unwrap()
                    .iter()
                    .filter(|f| f.through.is_some())
                    .count(),
                1
            );
            ours.check(&result);
            theirs.check(&result);
            deletes.after(&result).del();
            assert!(ifbs(&lab.rtnl()).is_empty());
            pair(lab, "dummy", &sandbox).del();
        }
    });
}

#[test]
fn the_wrapped_numbers_of_the_go_plugin_are_accepted() {
    in_lab(LINKSPAN, |lab| {
        let (Some(go), true) = (go_plugins("bandwidth"), is_able(lab)) else {
            return;
        };
        for burst in [CONTAINERD, CRIO] {
            for rate in [500_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000] {
                let sandbox = lab.sandbox();
                let previous = pair(lab, "dummy", &sandbox).add();
                let over = by_runtime(rate, burst);
                let theirs = lab.foreign(go, "bandwidth").of("dummy", &sandbox);
                let result = theirs.conf(&conf(&over)).after(&previous).add();
                let ours = call(lab, "dummy", &sandbox, &result, &over);
                ours.check(&result);
                // An ADD of ours corrects them.
                ours.add();
                assert!(bucket(&host_end(lab, &previous)).unwrap().limit >= 128 << 10);
                ours.del();
                pair(lab, "dummy", &sandbox).del();
            }
        }
    });
}
