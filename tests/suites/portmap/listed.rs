//! `linkspan ports` and `linkspan clear`.

use std::time::{Duration, Instant};

use linkspan_harness::lab::in_lab;
use linkspan_harness::table::elements;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, both};

/// Long enough for the slowest machine.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn ports_are_listed_with_their_owners_and_all_of_it_can_be_cleared() {
    in_lab(LINKSPAN, |lab| {
        let run = |args: &[&str]| lab.linkspan(args).run();
        assert_eq!(run(&["ports", "--json"]).json(), json!([]));
        assert!(run(&["clear"]).succeeded().contains("nothing to remove"));
        let gone = Pod::published(lab, "gone", &both(8081));
        let live = Pod::published(lab, "live", &both(8080));
        drop(gone.sandbox);
        // A child of another thread has the namespace until it executes its program.
        let is_gone = |listed: &Value| {
            let mut ports = listed.as_array().unwrap().iter();
            ports.all(|port| port["container"] != "gone" || port["gone"] == true)
        };
        let end = Instant::now() + DEADLINE;
        let mut listed = run(&["ports", "--json"]).json();
        while !is_gone(&listed) && Instant::now() < end {
            listed = run(&["ports", "--json"]).json();
        }
        let all = listed.as_array().unwrap();
        assert_eq!(all.len(), 8);
        let expected = json!({
            "backend": "nftables",
            "protocol": "tcp",
            "hostIP": "",
            "hostPort": 8080,
            "containerIP": live.ip(Family::V4).to_string(),
            "containerPort": 80,
            "network": "net",
            "container": "live",
            "interface": "eth0",
            "pod": null,
            "podNamespace": null,
            "state": "alive",
            "gone": false,
            "listeners": [],
        });
        assert_eq!(all[0], expected);
        assert!(
            all.iter()
                .skip(4)
                .all(|port| port["gone"] == Value::Bool(true)),
            "{listed}"
        );
        let table = run(&["ports"]);
        let told = table.succeeded();
        assert!(told.contains("0.0.0.0 8080/tcp"), "{told}");
        assert!(told.contains("`linkspan clear`"), "{told}");
        run(&["clear"]).succeeded();
        assert_eq!(elements(lab), [""; 0]);
        live.detach(lab);
    });
}
