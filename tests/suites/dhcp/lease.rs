//! The life of a lease: renewed, rebound, rejected, expired, and taken over by the next daemon.

use std::fs;

use linkspan_harness::lab::in_lab;
use serde_json::json;

use crate::LINKSPAN;
use crate::segment::{Segment, until};
use crate::server::{ADDRESS, DISCOVER, RELEASE, REQUEST};

#[test]
fn a_lease_is_renewed_by_unicast_then_by_broadcast_and_the_interface_is_down_when_it_ran_out() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(4, 1);
        let daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let ip = pod.configure(&call.add());
        server.next(REQUEST);
        let renewal = server.next(REQUEST);
        assert_eq!(renewal.order, [53, 55, 57, 61]);
        assert_eq!(renewal.source, ip);
        assert_eq!(renewal.client, ip);
        assert_eq!(renewal.destination, ADDRESS);
        server.now(|manners| manners.deaf_to_unicast = true);
        let rebound = loop {
            let request = server.next(REQUEST);
            if request.destination.is_broadcast() {
                break request;
            }
        };
        assert_eq!(
            (rebound.source, rebound.client),
            (renewal.source, renewal.client)
        );
        // The server answered that, so the interface stays up until the next term ends without an answer.
        server.now(|manners| manners.deaf = true);
        assert!(pod.is_up());
        until("the interface is down", || !pod.is_up());
        until("the lease is forgotten", || segment.kept() == 0);
        until("the log tells it", || daemon.log().contains("it ran out"));
        server.now(|manners| manners.deaf = false);
        let again = call.add();
        assert_eq!(again["ips"][0]["address"], "10.77.0.10/24");
        assert!(pod.is_up());
    });
}

#[test]
fn a_server_that_rejects_a_renewal_is_asked_for_the_same_address_anew() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(6, 1);
        let _daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let ip = pod.configure(&call.add());
        server.next(DISCOVER);
        server.now(|manners| manners.rejects = true);
        let discover = server.next(DISCOVER);
        let wanted = discover.options[&50].clone();
        assert_eq!(wanted, std::net::Ipv4Addr::new(10, 77, 0, 10).octets());
        let request = server.next(REQUEST);
        assert_eq!(request.options[&50], wanted);
        server.now(|manners| manners.rejects = false);
        let renewal = server.next(REQUEST);
        assert_eq!(renewal.source, ip);
        call.del();
        server.next(RELEASE);
    });
}

#[test]
fn a_killed_daemon_is_followed_by_one_that_renews_and_releases() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(6, 9);
        let mut daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let result = call.add();
        let ip = pod.configure(&result);
        let gone = segment.container("c2");
        segment.call(&gone, &json!({})).add();
        assert_eq!(segment.kept(), 2);
        daemon.kill();
        assert!(daemon.socket.exists());
        drop(gone);
        let second = segment.daemon();
        until("the lease of the namespace that is gone is dropped", || {
            segment.kept() == 1
        });
        call.check(&result);
        server.forget_seen();
        assert_eq!(server.next(REQUEST).source, ip);
        call.del();
        assert_eq!(server.next(RELEASE).source, ip);
        drop(second);
        let names = fs::read_dir(lab.dir().join("cni/dhcp.leases")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".lock"]);
    });
}

#[test]
fn a_link_that_is_gone_ends_its_lease_and_del_succeeds() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let _server = Segment::server(4, 1);
        let mut daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        call.add();
        let link = pod.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        link.delete().unwrap();
        until("the lease is forgotten", || segment.kept() == 0);
        call.del();
        assert!(daemon.is_alive());
    });
}

#[test]
fn an_answer_is_found_among_frames_that_make_no_sense() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        server.now(|manners| manners.noise = 3000);
        let mut daemon = segment.daemon_of(&lab.bin(), &["-timeout", "5s"]);
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let result = call.add();
        assert_eq!(result["ips"][0]["address"], "10.77.0.10/24");
        pod.configure(&result);
        call.del();
        server.next(RELEASE);
        assert!(daemon.is_alive());
    });
}
