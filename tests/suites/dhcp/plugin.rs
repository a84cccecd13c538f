//! The verbs, the messages to servers, and the results of their answers.

use linkspan_harness::call::Call;
use linkspan_harness::conf::with;
use linkspan_harness::cost::{Cost, cost};
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use serde_json::json;

use crate::LINKSPAN;
use crate::segment::Segment;
use crate::server::{DISCOVER, RELEASE, REQUEST};

#[test]
fn an_address_is_had_checked_and_given_back_with_the_references_messages() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        server.now(|manners| manners.options = vec![(3, vec![10, 77, 0, 1])]);
        let _daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let result = call.add();
        assert_eq!(
            result,
            json!({
                "cniVersion": "1.1.0",
                "ips": [{ "address": "10.77.0.10/24", "gateway": "10.77.0.1" }],
                "routes": [{ "dst": "0.0.0.0/0", "gw": "10.77.0.1" }],
            })
        );
        assert!(pod.is_up());
        assert_eq!(call.add(), result);
        let ip = pod.configure(&result);
        call.check(&result);
        let discover = server.next(DISCOVER);
        assert_eq!(discover.order, [53, 55, 57, 61]);
        assert_eq!((discover.length, discover.broadcast), (300, false));
        assert_eq!(discover.options[&55], [3, 1]);
        assert_eq!(discover.options[&57], [5, 220]);
        assert_eq!(discover.options[&61], b"\0c1/net/eth0");
        assert!(discover.source.is_unspecified() && discover.destination.is_broadcast());
        let request = server.next(REQUEST);
        assert_eq!(request.order, [50, 53, 54, 55, 57, 61]);
        assert!(request.source.is_unspecified() && request.client.is_unspecified());
        call.del();
        let release = server.next(RELEASE);
        assert_eq!(release.order, [53, 54, 61]);
        assert_eq!(
            (release.source, release.client),
            (request_ip(ip), request_ip(ip))
        );
        assert_eq!(release.destination, crate::server::ADDRESS);
        call.del();
        assert_eq!((server.given(), segment.kept()), (0, 0));
        call.after(&result).verb("CHECK").run().failed(999);
    });
}

fn request_ip(ip: std::net::IpAddr) -> std::net::Ipv4Addr {
    match ip {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(_) => std::net::Ipv4Addr::UNSPECIFIED,
    }
}

#[test]
fn a_pool_of_one_address_serves_one_container_after_the_other() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        let _daemon = segment.daemon();
        for turn in 0..10 {
            let pod = segment.container(&format!("c{turn}"));
            let call = segment.call(&pod, &json!({}));
            let result = call.add();
            assert_eq!(result["ips"][0]["address"], "10.77.0.10/24");
            pod.configure(&result);
            call.del();
            server.next(RELEASE);
            pod.leave();
        }
        assert_eq!(server.given(), 0);
    });
}

#[test]
fn options_are_sent_and_told_as_the_configuration_says() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 9);
        server.now(|manners| {
            manners.options = vec![
                (3, vec![10, 77, 0, 1]),
                (6, vec![10, 77, 0, 53]),
                (15, b"lan".to_vec()),
                (26, vec![5, 0]),
                (33, vec![192, 168, 7, 0, 10, 77, 0, 2]),
                (119, b"\x01a\x03lan\x00\x01b\xc0\x02".to_vec()),
            ];
        });
        let _daemon = segment.daemon();
        let pod = segment.container("c1");
        let over = json!({
            "dns": true, "mtu": true, "priority": 7, "suppress": ["gateway"], "hostname": "pod",
            "clientID": "mac", "routes": [{ "dst": "10.99.0.0/16", "gw": "10.77.0.9" }],
            "provide": [{ "option": "60", "value": "v", "fromArg": "CLASS" }],
            "broadcast": true,
        });
        let call = segment.call(&pod, &over);
        let call = call.env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web-0;CLASS=blue");
        assert_eq!(
            call.add(),
            json!({
                "cniVersion": "1.1.0",
                "ips": [{ "address": "10.77.0.10/24" }],
                "routes": [
                    { "dst": "192.168.7.0/24", "gw": "10.77.0.2", "mtu": 1280, "priority": 7 },
                    { "dst": "10.99.0.0/16", "gw": "10.77.0.9", "priority": 7 },
                ],
                "dns": { "nameservers": ["10.77.0.53"], "domain": "lan", "search": ["a.lan", "b.lan"] },
            })
        );
        let discover = server.next(DISCOVER);
        assert_eq!(discover.order, [12, 53, 55, 57, 60, 61]);
        assert_eq!(discover.options[&12], b"web-0");
        assert_eq!(discover.options[&55], [3, 1, 6, 15, 119, 26]);
        assert_eq!(discover.options[&60], b"blue");
        assert_eq!(
            (discover.options[&61][0], discover.options[&61].len()),
            (1, 7)
        );
        assert!(discover.broadcast);
    });
}

#[test]
fn without_a_server_add_ends_in_time_and_del_ends_an_add() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        server.now(|manners| manners.deaf = true);
        let _daemon = segment.daemon_of(&lab.bin(), &["-timeout", "50ms", "-resendtimeout", "1s"]);
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let told = call.clone().verb("ADD").run().failed(999);
        assert!(
            told.starts_with("error calling DHCP.Allocate: no more tries;"),
            "{told}"
        );
        let patient = segment.call(&pod, &json!({ "timeout": 600 }));
        let waiting = patient.verb("ADD").spawn();
        server.forget_seen();
        server.next(DISCOVER);
        call.del();
        let told = waiting.wait().failed(999);
        assert!(told.contains("cancelled"), "{told}");
        let missing = call
            .clone()
            .env("CNI_IFNAME", "nope")
            .verb("ADD")
            .run()
            .failed(999);
        assert!(
            missing.contains("error looking up \"nope\": Link not found"),
            "{missing}"
        );
        assert_eq!((server.given(), segment.kept()), (0, 0));
    });
}

#[test]
fn a_socket_of_the_service_manager_is_used_and_left() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let _server = Segment::server(3600, 1);
        let (daemon, socket) = segment.daemon_of_a_manager();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        call.add();
        call.del();
        daemon.ask_to_end();
        assert!(socket.exists());
    });
}

#[test]
fn an_asked_daemon_takes_its_files_away_and_a_second_one_is_refused() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let pid = lab.dir().join("pid");
        let daemon = segment.daemon_of(&lab.bin(), &["-pidfile", pid.to_str().unwrap()]);
        assert_eq!(
            std::fs::read_to_string(&pid).unwrap(),
            daemon.pid().to_string()
        );
        let socket = daemon.socket.clone();
        let again = lab
            .plugin("dhcp")
            .args(&["daemon", "-socketpath", socket.to_str().unwrap()]);
        let again = again.run();
        assert_eq!(again.status, 1);
        assert!(
            again
                .stderr
                .contains("Error getting listener: another daemon"),
            "{}",
            again.stderr
        );
        let relative = lab.linkspan(&["dhcp-daemon", "-pidfile", "p"]).run();
        assert_eq!(relative.status, 1);
        assert!(
            relative.stderr.contains("path not absolute"),
            "{}",
            relative.stderr
        );
        assert_eq!(lab.plugin("dhcp").args(&["daemon", "-x"]).run().status, 2);
        daemon.ask_to_end();
        assert!(!socket.exists() && !pid.exists());
    });
}

#[test]
fn status_and_check_need_the_daemon_and_del_and_gc_do_not() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 3);
        let mut daemon = segment.daemon();
        let pods = ["c1", "c2", "c3"].map(|id| segment.container(id));
        let calls = pods.each_ref().map(|pod| segment.call(pod, &json!({})));
        let results = calls.each_ref().map(Call::add);
        for (pod, result) in pods.iter().zip(&results) {
            pod.configure(result);
        }
        let gc = |valid: &[&str]| {
            let valid: Vec<_> = valid
                .iter()
                .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
                .collect();
            let mut conf = segment.conf(&json!({}));
            conf["cni.dev/valid-attachments"] = json!(valid);
            lab.plugin("dhcp")
                .conf(&conf)
                .verb("GC")
                .run()
                .succeeded()
                .to_owned()
        };
        let status = lab
            .plugin("dhcp")
            .conf(&segment.conf(&json!({})))
            .verb("STATUS");
        status.run().succeeded();
        gc(&["c1", "c2"]);
        let release = server.next(RELEASE);
        assert_eq!(release.source, release.client);
        assert_eq!((server.given(), segment.kept()), (2, 2));
        daemon.kill();
        let told = status.run().failed(50);
        assert!(told.contains("error dialing DHCP daemon"), "{told}");
        calls[0].after(&results[0]).verb("CHECK").run().failed(999);
        calls[0].clone().verb("ADD").run().failed(999);
        calls[0].del();
        server.next(RELEASE);
        assert_eq!((server.given(), segment.kept()), (1, 1));
        gc(&[]);
        server.next(RELEASE);
        assert_eq!((server.given(), segment.kept()), (0, 0));
        calls[0].clone().without("CNI_NETNS").del();
    });
}

/// The row of the plugin for the tables of suites/budgets.rs. The daemon's own cost is a server's round trip.
#[test]
fn the_plugin_keeps_to_its_budget() {
    const CALLS: [(&str, usize); 5] = [
        ("ADD", 20),
        ("CHECK", 15),
        ("STATUS", 15),
        ("DEL", 20),
        ("GC", 20),
    ];
    in_lab(LINKSPAN, |lab| {
        if !skip::can_trace("dhcp") {
            return;
        }
        let segment = Segment::new(lab);
        let _server = Segment::server(3600, 1);
        let _daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let mut result = json!(null);
        for (verb, calls) in CALLS {
            let more = match verb {
                "GC" => json!({ "cni.dev/valid-attachments": [] }),
                _ => json!({ "prevResult": result }),
            };
            let conf = with(segment.conf(&json!({})), &more);
            let (output, did) = cost(lab, call.clone().verb(verb).conf(&conf));
            let most = Cost {
                processes: 1,
                files: 1,
                calls,
                ..Cost::default()
            };
            assert!(did.is_within(most), "{verb}: {did:?}");
            if verb == "ADD" {
                result = output.json();
                pod.configure(&result);
            }
        }
    });
}
