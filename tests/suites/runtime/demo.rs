//! The demonstration.

use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;

use crate::{LINKSPAN, files, linkspan};

#[test]
fn the_demonstration_proves_its_claims_and_leaves_nothing() {
    in_lab(LINKSPAN, |lab| {
        let before = Snapshot::of_host(lab);
        let demo = linkspan(lab, &["demo"]).run();
        let told = demo.succeeded();
        for claim in [
            "address 10.88.0.2/16, gateway 10.88.0.1",
            "address fd88::3/64, gateway fd88::1",
            "route ::/0 via fd88::1",
            "pod-a -> pod-b 10.88.0.3: ok",
            "pod-b -> pod-a fd88::2: ok",
            "pod-b -> gateway fd88::1: ok",
            "pod-b -> world 2001:db8::2: ok, seen as 2001:db8::1",
            "world -> 192.0.2.1:8080 -> pod-a: ok, seen as 192.0.2.2",
            "host -> [::1]:8080 -> pod-a: ok",
            "pod-a -> [2001:db8::1]:8080 -> pod-a: ok",
            "CHECK pod-b: ok",
            "namespaces are gone",
        ] {
            assert!(told.contains(claim), "{claim:?} is missing in {told}");
        }
        assert_eq!(Snapshot::of_host(lab), before);
        assert_eq!(files(&lab.dir().join("tmp")), [""; 0]);
    });
}

#[test]
fn a_demonstration_that_cannot_run_says_so() {
    in_lab(LINKSPAN, |lab| {
        let demo = linkspan(lab, &["demo"]).env("TMPDIR", "/nonexistent").run();
        assert_eq!(demo.status, 1);
        assert!(demo.stderr.contains("/nonexistent"), "{}", demo.stderr);
    });
}
