//! Refusals, and differences found by CHECK.

use linkspan_harness::lab::in_lab;
use linkspan_netlink::link::Link;
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, call, conf, every, sysctl};

type Change = fn(&Link);

/// Configurations, each with the code and the text of its refusal.
fn refused() -> Vec<(Value, u64, &'static str)> {
    let both =
        json!({ "net.ipv4.conf.all.log_martians": "1", "net/ipv4/conf/all/log_martians": "0" });
    vec![
        (
            json!({ "sysctl": { "kernel.hostname": "x" } }),
            7,
            "invalid net sysctl key: \"kernel/hostname\"",
        ),
        (
            json!({ "sysctl": { "network.x": "1" } }),
            7,
            "invalid net sysctl key: ",
        ),
        (
            json!({ "sysctl": { "net.ipv4.nope": "1" } }),
            999,
            "sysctl net.ipv4.nope does not exist",
        ),
        (
            json!({ "sysctl": { "net.core.somaxconn": "many" } }),
            999,
            "write many to /proc/sys/net/core/somaxconn: ",
        ),
        (
            json!({ "sysctl": { "net.core.somaxconn": 7 } }),
            6,
            "sysctl.net.core.somaxconn: ",
        ),
        (
            json!({ "sysctl": { "net.core.somaxconn": "" } }),
            7,
            "an empty value changes nothing",
        ),
        (json!({ "sysctl": both }), 7, "and another sysctl made it"),
        (
            json!({ "mac": "nonsense" }),
            7,
            "mac: not a unicast MAC address",
        ),
        (
            json!({ "args": { "cni": { "mac": "01:00:5e:00:00:01" } } }),
            7,
            "args.cni.mac: not a unicast",
        ),
        (json!({ "mtu": -1 }), 7, "mtu -1"),
        (json!({ "txQLen": -1 }), 7, "txQLen -1"),
        (
            json!({ "prevResult": null, "mtu": 1400 }),
            7,
            "Required prevResult missing",
        ),
    ]
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let twice = r#"{"net.ipv4.conf.all.log_martians":"1","net.ipv4.conf.all.log_martians":"0"}"#;
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        for (over, code, says) in refused() {
            let over = if over.get("prevResult").is_some() {
                over
            } else {
                linkspan_harness::conf::with(over, &json!({ "prevResult": previous }))
            };
            let tuning = lab
                .plugin("tuning")
                .of("pod", &sandbox)
                .conf(&conf(lab, &over));
            let told = tuning.verb("ADD").run().failed(code);
            assert!(told.contains(says), "{told}");
        }
        let text = conf(lab, &json!({ "prevResult": previous, "sysctl": "HERE" })).to_string();
        let tuning = lab.plugin("tuning").of("pod", &sandbox);
        let tuning = tuning.stdin(text.replace("\"HERE\"", twice).as_bytes());
        let told = tuning.clone().verb("ADD").run().failed(7);
        assert!(
            told.contains("duplicated sysctl keys are not allowed"),
            "{told}"
        );
        tuning.verb("DEL").run().succeeded();
        assert_eq!(sysctl(&sandbox, "net/ipv4/conf/all/log_martians"), "0");
        let absent = call(lab, &sandbox, &previous, &every()).env("CNI_IFNAME", "eth9");
        assert!(
            absent
                .verb("ADD")
                .run()
                .failed(999)
                .starts_with("failed to get \"eth9\": ")
        );
    });
}

#[test]
fn the_orchestrator_wins_over_the_runtime_and_that_over_the_rest() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let mac = |last: u8| format!("02:00:00:00:00:0{last}");
        let args = format!("IgnoreUnknown=true;MAC={}", mac(3));
        let all = json!({ "mac": mac(4), "RuntimeConfig": { "mac": mac(2) }, "args": { "cni": { "mac": mac(1) } } });
        let mut rows = vec![all];
        for taken in ["args", "RuntimeConfig"] {
            let mut less = rows.last().unwrap().clone();
            less.as_object_mut().unwrap().remove(taken);
            rows.push(less);
        }
        for (number, over) in (1..).zip(rows) {
            let tuning = call(lab, &sandbox, &previous, &over).env("CNI_ARGS", &args);
            assert_eq!(tuning.add()["interfaces"][1]["mac"], mac(number), "{over}");
            tuning.del();
        }
        // An empty one requests nothing.
        let cleared = json!({ "mac": mac(4), "args": { "cni": { "mac": "" } } });
        let tuning = call(lab, &sandbox, &previous, &cleared).env("CNI_ARGS", &args);
        assert_eq!(tuning.add(), previous);
    });
}

#[test]
fn check_tells_what_is_not_as_it_was_configured() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let mut over = every();
        over["sysctl"] = json!({ "net.core.somaxconn": "77" });
        let tuning = call(lab, &sandbox, &previous, &over);
        let result = tuning.add();
        let eth0 = || sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        let changes: [(Change, &str); 5] = [
            (
                |link| link.set_mtu(1300).unwrap(),
                "MTU of eth0 is 1454, current value is 1300",
            ),
            (
                |link| link.set_mac([2, 0, 0, 0, 0, 9]).unwrap(),
                "Ethernet of eth0 is c2:11:22:33:44:55, current value is 02:00:00:00:00:09",
            ),
            (
                |link| link.receive_all(false).unwrap(),
                "Promiscuous mode of eth0 is true",
            ),
            (
                |link| link.receive_all_multicast(false).unwrap(),
                "All multicast mode of eth0 is true",
            ),
            (
                |link| link.set_queue_length(7).unwrap(),
                "Transmit queue length of eth0 is 0, current value is 7",
            ),
        ];
        for (change, says) in changes {
            tuning.check(&result);
            change(&eth0());
            let told = tuning.after(&result).verb("CHECK").run().failed(999);
            assert!(
                told.starts_with(&format!("Error: Tuning configured value of {says}")),
                "{told}"
            );
            tuning.add();
        }
        let write = || std::fs::write("/proc/sys/net/core/somaxconn", "78").unwrap();
        sandbox.netns.scope(write).unwrap();
        let told = tuning.after(&result).verb("CHECK").run().failed(999);
        assert!(
            told.contains("/proc/sys/net/core/somaxconn is 77, current value is 78"),
            "{told}"
        );
        eth0().delete().unwrap();
        let over: Value = every();
        let told = call(lab, &sandbox, &previous, &over)
            .verb("CHECK")
            .run()
            .failed(999);
        assert!(
            told.starts_with("Cannot find container link eth0"),
            "{told}"
        );
    });
}
