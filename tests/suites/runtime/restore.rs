//! `linkspan restore`: removed state of the packet filter returns, and nothing else changes.

use linkspan_filter::table::TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::table::{elements, everything, netfilter, shared};
use linkspan_nftables::Batch;
use linkspan_protocol::family::Family;
use serde_json::json;

use crate::{LINKSPAN, linkspan, net_dir};

/// The list `net`: a bridge that masquerades, and published ports.
fn install(lab: &Lab) {
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    net_dir(
        lab,
        &json!([bridge(lab, &json!({ "ipMasq": true })), portmap]),
    );
}

/// `verb` of a container that publishes a port.
fn of(lab: &Lab, verb: &str, (id, sandbox): (&str, &Sandbox), port: u16) -> Call {
    let mapping = |protocol| json!({ "hostPort": port, "containerPort": 80, "protocol": protocol });
    let given = json!({ "portMappings": [mapping("tcp"), mapping("udp")] }).to_string();
    let args = [verb, "net", &sandbox.path(), "--container-id", id];
    linkspan(lab, &[&args[..], &["--capability-args", &given]].concat())
}

fn add(lab: &Lab, sandbox: &Sandbox, id: &str, port: u16) {
    of(lab, "add", (id, sandbox), port).run().succeeded();
}

fn check(lab: &Lab, sandbox: &Sandbox, id: &str, port: u16) -> Call {
    of(lab, "check", (id, sandbox), port)
}

fn flush(lab: &Lab) {
    let mut batch = Batch::default();
    batch.delete_table(TABLE);
    netfilter(lab).commit(batch).unwrap();
}

#[test]
fn ports_and_masquerade_of_the_living_come_back_and_once_is_enough() {
    in_lab(LINKSPAN, |lab| {
        install(lab);
        let [living, second, gone] = [(); 3].map(|()| lab.sandbox());
        add(lab, &living, "living", 8080);
        add(lab, &second, "second", 8081);
        add(lab, &gone, "gone", 8082);
        let (own, zones) = (elements(lab), shared(lab));
        drop(gone);
        lab.until_pairs(2);
        flush(lab);
        let told = check(lab, &living, "living", 8080).run().stderr;
        assert!(told.contains("linkspan restore"), "{told}");
        let status = linkspan(lab, &["status", "net"]);
        let told = status.clone().run();
        assert!(told.succeeded().contains("ready"), "{}", told.stdout);
        assert!(
            told.stderr.contains("linkspan restore net"),
            "{}",
            told.stderr
        );

        let told = linkspan(lab, &["restore", "--only", "living/eth0"]).run();
        assert_eq!(told.succeeded(), "restored net living eth0\n");
        let told = linkspan(lab, &["restore"]).run();
        assert_eq!(
            told.succeeded(),
            "restored net living eth0\nrestored net second eth0\n"
        );
        let living_own: Vec<_> = own
            .into_iter()
            .filter(|line| !line.contains("/gone/"))
            .collect();
        assert_eq!((elements(lab), shared(lab)), (living_own, zones));
        for (sandbox, id, port) in [(&living, "living", 8080), (&second, "second", 8081)] {
            check(lab, sandbox, id, port).run().succeeded();
            let server = Server::of(&sandbox.netns, 80, Family::V4);
            let published = format!("127.0.0.1:{port}").parse().unwrap();
            server.answers(lab.host(), published);
        }
        let told = status.run();
        told.succeeded();
        assert!(!told.stderr.contains("restore"), "{}", told.stderr);
        let before = everything(lab);
        linkspan(lab, &["restore", "net"]).run().succeeded();
        assert_eq!(everything(lab), before);
        let told = linkspan(lab, &["restore", "other"]).run();
        assert_eq!(told.succeeded(), "");
    });
}

#[test]
fn a_port_that_another_has_by_now_is_told_and_the_others_come_back() {
    in_lab(LINKSPAN, |lab| {
        install(lab);
        let [first, second, third] = [(); 3].map(|()| lab.sandbox());
        add(lab, &first, "first", 8080);
        add(lab, &second, "second", 8081);
        flush(lab);
        add(lab, &third, "third", 8080);
        let ran = linkspan(lab, &["restore"]).run();
        assert_eq!(ran.status, 1);
        let told = ran.stderr;
        assert!(
            told.contains("host port 8080/tcp is already published for container third"),
            "{told}"
        );
        assert!(
            told.contains("container first, interface eth0, network net"),
            "{told}"
        );
        let own = elements(lab);
        let of = |id: &str| own.iter().any(|line| line.contains(id));
        assert!(
            of("net/second/eth0") && of("net/third/eth0") && !of("net/first/eth0"),
            "{own:#?}"
        );
    });
}
