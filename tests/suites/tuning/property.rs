//! CHECK succeeds after every successful ADD, and DEL restores ADD's changes.

use linkspan_harness::dice::Dice;
use linkspan_harness::lab::in_lab;
use linkspan_harness::thorough::times;
use linkspan_harness::{figure, skip};
use serde_json::{Map, Value, json};

use crate::{LINKSPAN, attached, call, settings};

/// Keys, and values of all kinds: several numbers, other forms of one, texts, lists, and write-only ones.
const SYSCTLS: [(&str, &[&str]); 14] = [
    ("net.ipv4.ip_forward", &["0", "1", "01"]),
    ("net.ipv4.conf.all.forwarding", &["0", "1"]),
    ("net.ipv4.conf.IFNAME.forwarding", &["0", "1"]),
    ("net/ipv4/conf/IFNAME/arp_filter", &["0", "1", "0x1"]),
    (
        "net.ipv4.tcp_rmem",
        &["4096 87380 6291456", "4096\t16384\t33554432\n"],
    ),
    (
        "net.ipv4.ip_local_port_range",
        &["1024 65000", "  10000   20000  "],
    ),
    (
        "net.ipv4.ip_local_reserved_ports",
        &["", "8080,8081,9000", "9000-9002,9001"],
    ),
    ("net.ipv4.ping_group_range", &["0 2147483647", "1 0"]),
    (
        "net.ipv4.tcp_congestion_control",
        &["cubic", "reno", "nonsense"],
    ),
    ("net.ipv4.route.flush", &["1"]),
    ("net.core.somaxconn", &["128", "0200", "-1"]),
    ("net.ipv6.conf.all.disable_ipv6", &["0", "1"]),
    ("net.ipv6.conf.IFNAME.disable_ipv6", &["0", "1"]),
    ("net.ipv6.conf.IFNAME.stable_secret", &["2001:db8::1", "::"]),
];

fn some(dice: &mut Dice) -> Value {
    let mut sysctls = Map::new();
    for (key, values) in SYSCTLS {
        if dice.below(3) == 0 {
            sysctls.insert(key.to_owned(), json!(dice.one_of(values).unwrap()));
        }
    }
    let mut over = json!({ "sysctl": sysctls });
    let settings: [(&str, &[Value]); 5] = [
        (
            "mac",
            &[
                json!(""),
                json!("02:AB:cd:00:00:01"),
                json!("02-ab-cd-00-00-02"),
                json!("02ab.cd00.0003"),
            ],
        ),
        ("mtu", &[json!(0), json!(1280), json!(1500), json!(100_000)]),
        ("promisc", &[json!(true), json!(false)]),
        ("allmulti", &[json!(true), json!(false), json!(null)]),
        ("txQLen", &[json!(0), json!(500), json!(null)]),
    ];
    for (key, values) in settings {
        if dice.below(2) == 0 {
            over[key] = dice.one_of(values).unwrap().clone();
        }
    }
    if dice.below(4) == 0 {
        json!({ "args": { "cni": over } })
    } else {
        over
    }
}

#[test]
fn check_succeeds_after_every_accepted_add() {
    in_lab(LINKSPAN, |lab| {
        let mut dice = Dice::new(19);
        let sandbox = lab.sandbox();
        let previous = attached(lab, &sandbox);
        let before = settings(&sandbox);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..times(150, 80) {
            let over = some(&mut dice);
            let tuning = call(lab, &sandbox, &previous, &over);
            let add = tuning.clone().verb("ADD").run();
            if add.status == 0 {
                let check = tuning.after(&add.json()).verb("CHECK").run();
                assert_eq!(check.status, 0, "{over}: {}", check.stdout);
                accepted += 1;
                tuning.del();
            } else {
                refused += 1;
            }
            assert_eq!(settings(&sandbox), before, "{over}");
        }
        figure::tell(&format!(
            "tuning: {accepted} configurations accepted and checked, {refused} refused"
        ));
        assert!(accepted > 20 && refused > 20, "{accepted}, {refused}");
        drop(skip::without("ip"));
    });
}
