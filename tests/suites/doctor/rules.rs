//! Faults in packet filters, and ports in use by others.

use linkspan_harness::lab::in_lab;
use linkspan_harness::tool::tool;
use std::net::TcpListener;

use crate::{Clinic, LINKSPAN};

#[test]
fn lost_ports_and_rules_and_listeners_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        clinic.says(
            "WARN port-shadowed net: ",
            "-> give one of them another port",
        );
        drop(listener);
        clinic.call(&["clear", "--force"]).run().succeeded();
        clinic.says("FAIL masquerade-gone net/c1: ", "-> linkspan restore net");
        clinic.says(
            "FAIL port-gone net/c1: the port 8080/tcp ",
            "-> linkspan restore net",
        );
        clinic.call(&["restore", "net"]).run().succeeded();
        clinic.is_well();
        if tool("nft", &["flush", "chain", "inet", "linkspan", "publish"]).is_some() {
            clinic.says("FAIL rules-gone net/c1: ", "-> linkspan restore net");
        }
    });
}

#[test]
fn packet_filters_and_rules_of_others_are_named() {
    in_lab(LINKSPAN, |lab| {
        let clinic = Clinic::new(lab);
        let nft = |words: &str| tool("nft", &words.split(' ').collect::<Vec<_>>());
        if nft("add table ip other").is_none() {
            return;
        }
        nft("add chain ip other pre { type nat hook prerouting priority dstnat ; }");
        nft("add rule ip other pre tcp dport 8080 dnat to 192.0.2.2:80");
        clinic.says(
            "FAIL port-stolen net: chain pre of table ip other sends packets to the port 0.0.0.0:8080/tcp to 192.0.2.2",
            "give the pod another port",
        );
        nft("flush chain ip other pre");
        clinic.is_well();
        nft("add chain ip other stop { type filter hook forward priority 0 ; policy drop ; }");
        clinic.says("WARN forward-drop net: ", "ct status dnat accept");
        nft("delete table ip other");
    });
}
