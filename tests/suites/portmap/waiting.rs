//! A port of a living owner is waited for, with nothing locked.

use std::fs;
use std::net::SocketAddr;

use linkspan_harness::call::{Call, Running};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::table::elements;
use linkspan_harness::wait;
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{LINKSPAN, Pod, both};

/// A call with the longest wait.
fn patient(lab: &Lab, pod: &Pod) -> Call {
    pod.portmap_with(lab, &json!({ "portWaitSeconds": 60 }))
}

/// Starts ADD, and returns when it waits: it has subscribed to changes of nf_tables.
fn begun(lab: &Lab, call: Call) -> Running {
    let running = call.verb("ADD").spawn();
    assert!(wait::so(|| is_subscribed(lab)), "nobody waits");
    running
}

/// Returns whether a process in the host's namespace listens to changes of nf_tables.
fn is_subscribed(lab: &Lab) -> bool {
    /// `NETLINK_NETFILTER`
    const NETFILTER: &str = "12";
    /// The bit of `NFNLGRP_NFTABLES`.
    const GROUP: u32 = 1 << 6;
    let path = "/proc/thread-self/net/netlink";
    let told = lab
        .host()
        .scope(|| fs::read_to_string(path))
        .unwrap()
        .unwrap();
    let mut sockets = told.lines().map(|line| line.split_whitespace());
    sockets.any(|mut columns| {
        let protocol = columns.nth(1);
        let groups = columns
            .nth(1)
            .and_then(|groups| u32::from_str_radix(groups, 16).ok());
        protocol == Some(NETFILTER) && groups.is_some_and(|groups| groups & GROUP != 0)
    })
}

fn answers(lab: &Lab, pod: &Pod) {
    let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
    for address in ["127.0.0.1:8080", "10.1.0.1:8080"] {
        server.answers(lab.host(), address.parse::<SocketAddr>().unwrap());
    }
}

#[test]
fn a_successor_gets_the_port_when_its_predecessor_is_detached() {
    in_lab(LINKSPAN, |lab| {
        let old = Pod::published(lab, "old", &both(8080));
        let new = Pod::attach(lab, "new", &both(8080));
        let adding = begun(lab, patient(lab, &new));
        // Others do not wait.
        let bystander = Pod::published(lab, "bystander", &both(9080));
        bystander.detach(lab);
        old.detach(lab);
        adding.wait().succeeded();
        new.portmap(lab).check(&new.result);
        answers(lab, &new);
        new.detach(lab);
        assert_eq!(elements(lab), [""; 0]);
    });
}

#[test]
fn a_port_of_an_owner_that_vanishes_is_taken_over() {
    in_lab(LINKSPAN, |lab| {
        let old = Pod::published(lab, "old", &both(8080));
        let new = Pod::attach(lab, "new", &both(8080));
        let adding = begun(lab, patient(lab, &new));
        drop(old.sandbox);
        adding.wait().succeeded();
        new.portmap(lab).check(&new.result);
        answers(lab, &new);
        let left = elements(lab)
            .into_iter()
            .filter(|line| line.contains("net/old/"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn the_time_of_the_wait_is_a_key() {
    in_lab(LINKSPAN, |lab| {
        let _old = Pod::published(lab, "old", &both(8080));
        let new = Pod::attach(lab, "new", &both(8080));
        let before = elements(lab);
        // Without the key there is a wait, too. A process that is ended meanwhile leaves nothing.
        let usual = new.portmap_with(lab, &json!({ "portWaitSeconds": null }));
        begun(lab, usual).kill();
        assert_eq!(elements(lab), before);
        // After a second, the owner is still there.
        let told = new.portmap_with(lab, &json!({ "portWaitSeconds": 1 }));
        let told = told.verb("ADD").run().failed(999);
        assert!(told.contains("published for container old"), "{told}");
        assert_eq!(elements(lab), before);
        for wrong in [-1, 61] {
            let call = new.portmap_with(lab, &json!({ "portWaitSeconds": wrong }));
            let told = call.verb("ADD").run().failed(7);
            assert!(told.contains("portWaitSeconds"), "{told}");
        }
        // 0 refuses at once, without a wait.
        let log = lab.dir().join("calls");
        if linkspan_harness::skip::can_trace("whether ADD waits") {
            let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap()];
            new.portmap(lab)
                .verb("ADD")
                .under(&strace)
                .run()
                .failed(999);
            let told = fs::read_to_string(&log).unwrap();
            assert!(!told.contains("NETLINK_ADD_MEMBERSHIP"), "{told}");
        }
    });
}
