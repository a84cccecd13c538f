//! The demonstration.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use linkspan_harness::call::Call;
use linkspan_harness::lab::in_lab;
use linkspan_harness::machine::by_ordinary_user;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::tool::tool;

use crate::{LINKSPAN, files, linkspan, text};

#[test]
fn the_demonstration_proves_its_claims_and_leaves_nothing() {
    in_lab(LINKSPAN, |lab| {
        let before = Snapshot::of_host(lab);
        let demo = linkspan(lab, &["demo"]).run();
        let told = demo.succeeded();
        for claim in [
            "address 10.230.0.2/16, gateway 10.230.0.1",
            "address fd4c:7e2a:91b3::3/64, gateway fd4c:7e2a:91b3::1",
            "route ::/0 via fd4c:7e2a:91b3::1",
            "pod-a -> pod-b 10.230.0.3: ok",
            "pod-b -> pod-a fd4c:7e2a:91b3::2: ok",
            "pod-b -> gateway fd4c:7e2a:91b3::1: ok",
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
fn an_ordinary_user_has_the_demonstration_where_the_older_packet_filter_was_used() {
    in_lab(LINKSPAN, |lab| {
        // Afterwards each new namespace has the file of table names, which made the difference.
        if tool("iptables-legacy", &["-w", "-t", "nat", "-S"]).is_none() {
            return;
        }
        let bin = lab.dir().join("installed");
        let install = linkspan(lab, &["install", "-p", &text(&bin)]);
        install.run().succeeded();
        let everybodys = lab.dir().join("everybodys");
        fs::create_dir(&everybodys).unwrap();
        fs::set_permissions(&everybodys, fs::Permissions::from_mode(0o777)).unwrap();
        let demo = Call::new(&bin.join("linkspan")).args(&["demo"]);
        if let Some(demo) = by_ordinary_user(demo.env("TMPDIR", &text(&everybodys))) {
            let told = demo.run();
            assert!(told.succeeded().contains("namespaces are gone"));
            assert_eq!(files(&everybodys), [""; 0]);
        }
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
