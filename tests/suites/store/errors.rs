//! Refusals with their different reasons.

use std::fs;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::pool::Pool;

#[test]
fn a_requested_address_is_refused_for_its_very_reason() {
    let pool = Pool::new(
        "reasons",
        &json!({ "ranges": [[
            { "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "exclude": ["10.1.2.20", "10.1.2.32/30"] },
            { "subnet": "10.1.3.0/24" },
        ]] }),
    );
    pool.add("first");
    pool.plant("10.1.2.60", "older");
    pool.plant("10.1.2.61", "");
    let refused = |ips: &[&str], told: &str| {
        let conf = pool.conf(&json!({ "runtimeConfig": { "ips": ips } }));
        let failure = pool.call("ADD", "late").conf(&conf).run().failed(999);
        assert!(failure.contains(told), "{failure}");
    };
    refused(
        &["10.9.9.9"],
        "10.9.9.9 is out of range: no range set contains it",
    );
    refused(&["10.1.2.9"], "10.1.2.9 is out of range");
    refused(&["10.1.2.1"], "10.1.2.1 is a gateway");
    refused(&["10.1.3.1"], "requested ip 10.1.3.1 is subnet's gateway");
    refused(
        &["10.1.2.20"],
        "requested ip 10.1.2.20 is excluded (10.1.2.20-10.1.2.20)",
    );
    refused(
        &["10.1.2.33"],
        "requested ip 10.1.2.33 is excluded (10.1.2.32-10.1.2.35)",
    );
    refused(
        &["10.1.2.50", "10.1.2.51"],
        "10.1.2.51 is in a range set that gives another requested address",
    );
    let start = "requested IP address 10.1.2.10 is not available in range set 10.1.2.10-10.1.2.254,10.1.3.1-10.1.3.254";
    refused(
        &["10.1.2.10"],
        &format!("{start}: held by first/eth0 since 20"),
    );
    refused(&["10.1.2.60"], ": held by older since 20");
    assert_eq!(pool.holders(), ["", "first", "older"]);
    // Remains of a crash do not conflict.
    let conf = pool.conf(&json!({ "runtimeConfig": { "ips": ["10.1.2.61"] } }));
    pool.call("ADD", "late").conf(&conf).run().succeeded();
    assert_eq!(pool.holders(), ["first", "late", "older"]);
}

#[test]
fn a_second_add_is_refused_like_the_reference_does_and_changes_nothing() {
    let pool = Pool::new("twice", &json!({ "subnet": "10.1.2.0/24" }));
    pool.add("dummy");
    let failure = pool.run("ADD", "dummy").failed(999);
    let told = "failed to allocate for range 0: 10.1.2.2 has been allocated to dummy, duplicate allocation is not allowed";
    assert!(failure.starts_with(told), "{failure}");
    assert_eq!(pool.leases().len(), 1);
    assert_eq!(pool.add("other"), "10.1.2.3");
}

#[test]
fn an_add_that_fails_after_its_leases_were_made_takes_them_back() {
    let pool = Pool::new(
        "undone",
        &json!({ "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00::/64" }]] }),
    );
    pool.add("first");
    fs::remove_file(pool.dir().join("last_reserved_ip.1")).unwrap();
    fs::create_dir(pool.dir().join("last_reserved_ip.1")).unwrap();
    let failure = pool.run("ADD", "late").failed(999);
    assert!(
        failure.contains("last_reserved_ip.1: Is a directory"),
        "{failure}"
    );
    assert_eq!(pool.holders(), ["first", "first"]);
    assert_eq!(pool.records(), ["first:eth0"]);
}

#[test]
fn an_exhausted_pool_tells_its_size_and_what_became_of_the_addresses() {
    let pool = Pool::new(
        "counts",
        &json!({ "subnet": "10.1.2.0/29", "exclude": ["10.1.2.6"] }),
    );
    for id in ["a", "b", "c", "d"] {
        pool.add(id);
    }
    let failure = pool.run("ADD", "late").failed(999);
    let told = "no IP addresses available in range set: 10.1.2.1-10.1.2.6; of 4 addresses 0 belong to live attachments, 0 to dead ones, and 4 cannot be judged";
    assert!(failure.contains(told), "{failure}");
    assert!(pool.strict_status().failed(50).contains(told));
    // If STATUS failed, an engine would take the node out of service, with its four healthy pods.
    pool.run("STATUS", "").succeeded();
}

#[test]
fn exclusions_and_our_own_keys_are_checked_before_anything_is_touched() {
    let pool = Pool::new("keys", &json!({ "subnet": "10.1.2.0/24" }));
    for (over, code, told) in [
        (
            json!({ "exclude": ["10.9.0.1"] }),
            7,
            "exclude 10.9.0.1/32 not in network 10.1.2.0/24",
        ),
        (
            json!({ "exclude": ["10.1.0.0/16"] }),
            7,
            "exclude 10.1.0.0/16 not in network",
        ),
        (
            json!({ "exclude": ["ten"] }),
            6,
            "ipam.exclude: invalid IP address: ten",
        ),
        (json!({ "lockTimeout": -1 }), 6, "ipam.lockTimeout"),
        (json!({ "reclaim": "no" }), 6, "ipam.reclaim"),
    ] {
        let failure = pool
            .call("ADD", "a")
            .conf(&pool.ipam(&over))
            .run()
            .failed(code);
        assert!(failure.contains(told), "{failure}");
    }
    assert!(!pool.dir().exists());
}

#[test]
fn exclusions_are_never_given() {
    let pool = Pool::new(
        "excluded",
        &json!({ "ranges": [[{ "subnet": "fd00::/125", "exclude": ["fd00::2", "fd00::4/127"] }]] }),
    );
    assert_eq!(
        ["a", "b", "c"].map(|id| pool.add(id)),
        ["fd00::3", "fd00::6", "fd00::7"]
    );
    pool.run("ADD", "d").failed(999);
}

#[test]
fn a_fifo_in_place_of_a_file_is_not_waited_for() {
    let conf = json!({ "ranges": [[{ "subnet": "10.1.2.0/29" }]] });
    for name in ["10.1.2.3", "last_reserved_ip.0", "lock"] {
        let pool = Pool::new(&format!("fifo-{name}"), &conf);
        pool.add("first");
        let path = pool.dir().join(name);
        drop(fs::remove_file(&path));
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Every call ends, and no owner loses an address.
        for verb in ["ADD", "DEL", "STATUS"] {
            pool.run(verb, "late");
        }
        assert!(path.exists(), "{name}");
        let first = fs::read_to_string(pool.dir().join("10.1.2.2")).unwrap();
        assert_eq!(first, "first\r\neth0", "{name}");
    }
}
