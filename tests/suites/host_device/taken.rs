//! `conflictCheck`: addresses that another station has.

use std::net::IpAddr;

use linkspan_harness::conf::fixed;
use linkspan_harness::ear::Ear;
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_protocol::addr::MacAddr;
use serde_json::json;

use crate::{LINKSPAN, WIRE, call, is_at_home, nic, on_host, within};

/// The addresses of the wire's other end, and free ones.
const TAKEN: [&str; 2] = ["10.1.0.1", "fd00:1::1"];
const FREE: [&str; 2] = ["10.1.0.8", "fd00:1::8"];

#[test]
fn an_address_that_a_station_has_is_refused_and_the_device_comes_home() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let host = Snapshot::of_host(lab);
        let station = MacAddr(on_host(lab, WIRE).mac);
        for (ip, addresses) in [
            (TAKEN[0], ["10.1.0.1/16", "fd00:1::8/64"]),
            (TAKEN[1], ["10.1.0.8/16", "fd00:1::1/64"]),
        ] {
            let sandbox = lab.sandbox();
            let over = json!({ "conflictCheck": true, "ipam": fixed(&addresses) });
            let call = call(lab, ("pod", &sandbox), &over);
            let told = call.verb("ADD").run().failed(11);
            let expected = format!("address {ip} is taken: {station} has it");
            assert!(told.contains(&expected), "{told}");
            assert!(within(&sandbox, "net1").is_none());
            is_at_home(lab, &before);
            assert_eq!(Snapshot::of_host(lab), host);
        }
    });
}

#[test]
fn free_addresses_are_set_and_announced() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let addresses = ["10.1.0.8/16", "fd00:1::8/64"];
        let over = json!({ "conflictCheck": true, "ipam": fixed(&addresses) });
        let call = call(lab, ("pod", &sandbox), &over);
        let ear = Ear::of(lab.host());
        call.check(&call.add());
        let ips: [IpAddr; 2] = FREE.map(|ip| ip.parse().unwrap());
        for ip in ips {
            traffic::flows(lab.host(), &sandbox.netns, ip);
        }
        let announced = ear.announced();
        for ip in ips {
            assert!(announced.contains(&ip), "{announced:?}");
        }
        call.del();
        is_at_home(lab, &before);
    });
}

#[test]
fn without_a_carrier_nobody_can_be_asked() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        on_host(lab, WIRE).set_down().unwrap();
        let sandbox = lab.sandbox();
        let over = json!({ "conflictCheck": true });
        let told = call(lab, ("pod", &sandbox), &over);
        let told = told.verb("ADD").run().failed(11);
        assert!(told.contains("\"net1\" has no carrier"), "{told}");
        on_host(lab, WIRE).set_up().unwrap();
        is_at_home(lab, &before);
    });
}
