//! `linkspan gc` of one network, of several and of all.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::in_lab;
use serde_json::json;

use crate::{LINKSPAN, Node};

#[test]
fn the_dead_of_all_networks_are_freed_and_counted() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let ipam =
            json!({ "type": "host-local", "dataDir": lab.leases(), "subnet": "10.9.0.0/16" });
        let second = bridge(lab, &json!({ "bridge": "br9", "ipam": ipam }));
        node.write("20-other.conflist", "other", &json!([second]));
        node.add_dead("net", "dead1");
        node.add_dead("other", "dead2");
        lab.until_pairs(1);
        let gc = |args: &[&str]| {
            let told = node.call(&[&["gc"], args].concat()).run();
            (told.status, told.stdout, told.stderr)
        };
        let would = "would delete dead1 eth0\nwould delete dead2 eth0\n";
        let said = (
            0,
            would.to_owned(),
            "would delete 2, failed 0, attached 1\n".to_owned(),
        );
        assert_eq!(gc(&["--all", "--dry-run"]), said);
        assert_eq!(gc(&["net", "other", "--dry-run"]), said);
        assert_eq!(lab.leased("other").len(), 1);
        let one = (
            0,
            "deleted dead1 eth0\n".to_owned(),
            "deleted 1, failed 0, attached 1\n".to_owned(),
        );
        assert_eq!(gc(&["net"]), one);
        // A network without its list is known from its attachments.
        fs::remove_file(lab.dir().join("net.d/20-other.conflist")).unwrap();
        let rest = (
            0,
            "deleted dead2 eth0\n".to_owned(),
            "deleted 1, failed 0, attached 1\n".to_owned(),
        );
        assert_eq!(gc(&["--all"]), rest);
        assert_eq!(lab.leased("other").len(), 0);
        assert_eq!(gc(&["none"]).0, 4);
        assert_eq!(gc(&[]).0, 2);
        node.call(&["check", "c1"]).run().succeeded();
    });
}
