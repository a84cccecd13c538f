//! A system call of the plugin fails, or the plugin is killed at one: one DEL releases the address, and the daemon
//! continues.

use linkspan_harness::fault::{Fault, Tracer};
use linkspan_harness::lab::in_lab;
use linkspan_harness::{figure, skip};
use serde_json::json;

use crate::LINKSPAN;
use crate::segment::{Segment, until};
use crate::server::{DISCOVER, RELEASE, REQUEST};

/// Maximum number of the plugin's system calls that can fail: the budget of ADD and of DEL.
const BUDGET: [usize; 2] = [17, 16];

#[test]
fn a_fault_of_the_plugin_keeps_no_address() {
    if !skip::can_trace("the plugin dhcp") {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 3);
        let mut daemon = segment.daemon();
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        let tracer = Tracer::in_dir(lab.dir());
        let (added, of_add) = tracer.points(&call.clone().verb("ADD"));
        added.succeeded();
        let (deleted, of_del) = tracer.points(&call.clone().verb("DEL"));
        deleted.succeeded();
        let counts = [of_add.len(), of_del.len()];
        assert!(
            counts[0] <= BUDGET[0] && counts[1] <= BUDGET[1],
            "{counts:?}: {of_add:#?}"
        );
        let is_free = || server.given() == 0 && segment.kept() == 0;
        let mut hits = 0;
        for (verb, points) in [("ADD", &of_add), ("DEL", &of_del)] {
            for point in points {
                for fault in [Fault::Error, Fault::Errors, Fault::Kill] {
                    if verb == "DEL" {
                        call.add();
                    }
                    let hit = tracer.hit(&call.clone().verb(verb), point, fault);
                    assert!(!hit.hung, "{verb} {fault:?} {point:?}");
                    let undid_itself = fault == Fault::Error && hit.output.status == 1;
                    if hit.injected && verb == "ADD" && undid_itself {
                        until("a failed ADD gives the address back", is_free);
                    }
                    call.del();
                    until("DEL gives the address back", is_free);
                    hits += usize::from(hit.injected);
                    server.forget_seen();
                }
            }
        }
        assert!(daemon.is_alive() && hits > 30, "{hits}");
        figure::tell(&format!(
            "dhcp: {hits} faults of the plugin, {counts:?} places"
        ));
    });
}

#[test]
fn a_daemon_that_is_killed_during_add_and_del_keeps_no_address() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 3);
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        // The daemon is killed at once, or as soon as the server has seen a message.
        let moments = [
            ("ADD", None),
            ("ADD", Some(DISCOVER)),
            ("ADD", Some(REQUEST)),
            ("DEL", None),
            ("DEL", Some(RELEASE)),
        ];
        for (verb, seen) in moments {
            let mut daemon = segment.daemon();
            if verb == "DEL" {
                call.add();
                server.forget_seen();
            }
            let running = call.clone().verb(verb).spawn();
            if let Some(kind) = seen {
                server.next(kind);
            }
            daemon.kill();
            running.wait();
            let next = segment.daemon();
            call.del();
            until("the next daemon gives the address back", || {
                server.given() == 0 && segment.kept() == 0
            });
            drop(next);
            server.forget_seen();
        }
    });
}

#[test]
fn an_address_of_an_add_that_nobody_waits_for_is_given_back_by_the_next_daemon_and_by_gc() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 3);
        // The server gives the address, but its answer is lost.
        server.now(|manners| manners.mute = true);
        let pod = segment.container("c1");
        let call = segment.call(&pod, &json!({}));
        for by_gc in [false, true] {
            let mut daemon = segment.daemon();
            let running = call.clone().verb("ADD").spawn();
            server.next(REQUEST);
            until("the offer is remembered", || segment.kept() == 1);
            running.kill();
            assert_eq!(server.given(), 1);
            if by_gc {
                let mut conf = segment.conf(&json!({}));
                conf["cni.dev/valid-attachments"] = json!([]);
                let gc = lab.plugin("dhcp").conf(&conf).verb("GC");
                gc.run().succeeded();
            } else {
                daemon.kill();
                daemon = segment.daemon();
            }
            until("the address is given back", || {
                server.given() == 0 && segment.kept() == 0
            });
            assert!(daemon.is_alive());
            server.forget_seen();
        }
    });
}
