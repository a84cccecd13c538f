//! `linkspan check`: each part of ADD's result is reported when it is gone.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::tool::tool;
use serde_json::json;

use crate::{LINKSPAN, attached, linkspan, net_dir};

/// Asserts that CHECK succeeds, or finds this difference.
fn finds(lab: &Lab, sandbox: &Sandbox, wrong: &str) {
    let check = attached(lab, "check", sandbox).run();
    assert_eq!(check.status == 0, wrong.is_empty(), "{}", check.stderr);
    assert!(check.stderr.contains(wrong), "{wrong}: {}", check.stderr);
}

#[test]
fn check_looks_for_the_ports_that_add_was_given() {
    in_lab(LINKSPAN, |lab| {
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        net_dir(lab, &json!([bridge(lab, &json!({})), portmap]));
        let sandbox = lab.sandbox();
        let ports = r#"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
        let add = attached(lab, "add", &sandbox).env("CAP_ARGS", ports);
        add.run().succeeded();
        finds(lab, &sandbox, "");
        linkspan(lab, &["clear", "--force"]).run().succeeded();
        finds(lab, &sandbox, "inet linkspan");
    });
}

#[test]
fn check_compares_the_default_gateways_with_the_result() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let ip = |args: &str| {
            let args: Vec<&str> = args.split(' ').collect();
            let told = sandbox.netns.scope(|| tool("ip", &args));
            told.unwrap().is_some()
        };
        // A second default route beside ours changes nothing. The kernel merges those of IPv6 into one.
        if !ip("-6 route append default via fd00:1::9 dev eth0") {
            return;
        }
        ip("route append default via 10.1.0.9 dev eth0");
        finds(lab, &sandbox, "");
        for (family, ours, other) in [
            ("-4", "10.1.0.1", "10.1.0.9"),
            ("-6", "fd00:1::1", "fd00:1::9"),
        ] {
            ip(&format!("{family} route del default via {ours} dev eth0"));
            let wrong = format!(
                "default route in {}: expected via {ours}, found via {other}\n",
                sandbox.path()
            );
            finds(lab, &sandbox, &wrong);
            ip(&format!(
                "{family} route append default via {ours} dev eth0"
            ));
            finds(lab, &sandbox, "");
        }
    });
}

#[test]
fn check_looks_at_the_lease_of_each_address() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        finds(lab, &sandbox, "");
        for address in ["10.1.0.2", "fd00:1::2"] {
            let lease = lab.leases().join("net").join(address);
            let content = fs::read(&lease).unwrap();
            fs::remove_file(&lease).unwrap();
            finds(
                lab,
                &sandbox,
                &format!("address {address}: expected a lease of the container, found no lease"),
            );
            fs::write(&lease, "c2\r\neth0").unwrap();
            finds(
                lab,
                &sandbox,
                &format!(
                    "address {address}: expected a lease of the container, found held by c2/eth0 since "
                ),
            );
            fs::remove_file(&lease).unwrap();
            fs::write(&lease, content).unwrap();
            finds(lab, &sandbox, "");
        }
    });
}
