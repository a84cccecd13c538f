//! The hints of CHECK are the commands that mend the differences.

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use serde_json::json;

use crate::{LINKSPAN, Node};

/// Runs shell commands on the host.
fn shell(words: &str) {
    let sh = Call::new(Path::new("/bin/sh"));
    sh.args(&["-ec", words]).run().succeeded();
}

#[test]
fn the_hint_of_check_mends_what_it_found() {
    let tools = ["nsenter", "ip", "sysctl"];
    if tools.iter().any(|tool| skip::without(tool).is_none()) {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        let node = Node::of(lab, &json!({ "mtu": 1400 }));
        let inside = format!("nsenter --net={}", node.pod.path());
        let host_end = {
            let told = node.call(&["inspect", "c1", "--json"]).run().json();
            let ends = told[0]["hostEnds"].as_array().unwrap().clone();
            let veth = ends.iter().find(|end| end["kind"] == "veth").unwrap();
            veth["name"].as_str().unwrap().to_owned()
        };
        for broken in [
            &format!("ip link set {host_end} mtu 1300"),
            "echo 1 >/proc/sys/net/ipv6/conf/br0/disable_ipv6",
            &format!("{inside} sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"),
            "ip link set br0 down",
            "ip addr del 10.1.0.1/16 dev br0",
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
            &format!("ip link set {host_end} nomaster"),
            &format!("{inside} ip route del default via 10.1.0.1"),
            &format!(
                "{inside} ip addr add 10.1.9.9/16 dev eth0; {inside} ip addr del fd00:1::2/64 dev eth0"
            ),
        ] {
            shell(broken);
            let mut hints = Vec::new();
            // The next hint mends the consequences.
            while hints.len() < 5 {
                let told = node.call(&["check", "c1"]).run();
                if told.status == 0 {
                    break;
                }
                let mark = "hint: run ";
                let hint = told
                    .stderr
                    .lines()
                    .find_map(|line| line.trim().strip_prefix(mark));
                let hint = hint
                    .unwrap_or_else(|| panic!("{broken}: {}", told.stderr))
                    .to_owned();
                shell(&hint);
                hints.push(hint);
            }
            assert!((1..5).contains(&hints.len()), "{broken}: {hints:?}");
        }
    });
}

#[test]
fn a_full_pool_names_the_command_that_frees_the_dead() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let ipam = json!({ "type": "host-local", "dataDir": lab.leases(),
            "ranges": [[{ "subnet": "10.9.0.0/30" }]], "reclaim": false });
        let plugin = linkspan_harness::conf::bridge(lab, &json!({ "bridge": "br9", "ipam": ipam }));
        node.write("20-two.conflist", "two", &json!([plugin]));
        node.add_dead("two", "dead");
        // The store has no more data about the dead one.
        let record = lab.leases().join(".linkspan/two/dead:eth0");
        fs::remove_file(record).unwrap();
        lab.until_pairs(1);
        let next = lab.sandbox();
        let add = || {
            node.call(&["add", "two", &next.path(), "--container-id", "next"])
                .run()
        };
        let told = add();
        assert_eq!(told.status, 1);
        assert!(told.stderr.contains("`linkspan gc two`"), "{}", told.stderr);
        node.call(&["gc", "two"]).run().succeeded();
        add().succeeded();
        let told = node.call(&["status", "tow"]).run();
        assert!(
            told.stderr.contains("networks there: net, two"),
            "{}",
            told.stderr
        );
        let told = node.call(&["check", "net", &next.path()]).run();
        assert_eq!(told.status, 4);
        assert!(
            told.stderr
                .contains("attached there: eth0 of container next"),
            "{}",
            told.stderr
        );
    });
}
