//! Killed at every system call that changes anything, and the state that the next calls find.

use std::collections::BTreeSet;

use serde_json::json;

use linkspan_harness::skip;
use linkspan_harness::thorough::{sample, times};

use crate::pool::{Pool, ours};

/// An everyday run kills at one of so many calls with a name.
const SELDOM: usize = 3;

/// The calls with which ADD and DEL change files, besides opening them. A question mark is for calls that only some
/// machines have.
const CALLS: [&str; 10] = [
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "?symlink,?symlinkat",
    "linkat",
    "?unlink,?unlinkat",
    "?rename,?renameat,?renameat2",
    "utimensat",
    "?mkdir,?mkdirat",
];

/// Runs a call that is killed when it enters `syscall` for the `nth` time. Returns whether that happened.
fn killed(pool: &Pool, verb: &str, id: &str, (syscall, nth): (&str, usize)) -> bool {
    let inject = format!("inject={syscall}:signal=KILL:when={nth}");
    let run = pool
        .call_of("strace", verb, id)
        .args(&[
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={syscall}"),
            "-e",
            &inject,
            ours(),
        ])
        .run();
    // Killed by the signal, and not refused by strace.
    assert!(run.status <= 0, "{}", run.stderr);
    run.status != 0
}

/// Every lease is whole.
fn whole(pool: &Pool, at: &str) {
    for (ip, text) in pool.leases() {
        let (id, ifname) = text
            .split_once("\r\n")
            .unwrap_or_else(|| panic!("{at}: {ip} says {text:?}"));
        assert!(
            !id.is_empty() && ifname == "eth0",
            "{at}: {ip} says {text:?}"
        );
    }
}

#[test]
fn a_kill_leaves_whole_leases_and_costs_no_address() {
    if !skip::can_trace("a_kill_leaves_whole_leases_and_costs_no_address") {
        return;
    }
    let pool = Pool::new(
        "kill",
        &json!({ "ranges": [[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "fd00::/125" }]] }),
    );
    let mut kills = BTreeSet::new();
    for (verb, syscall) in CALLS
        .map(|call| ["ADD", "DEL"].map(|verb| (verb, call)))
        .concat()
    {
        for nth in sample(1.., 0, SELDOM) {
            let at = format!("{verb} killed at {syscall} {nth}");
            if verb == "DEL" {
                pool.add("victim");
            }
            let killed = killed(&pool, verb, "victim", (syscall, nth));
            whole(&pool, &at);
            // Another container is served at once, and the victim's own DEL cleans up everything.
            pool.add("other");
            pool.del("victim");
            assert_eq!(pool.holders(), ["other", "other"], "{at}");
            pool.del("other");
            if !killed {
                break;
            }
            kills.insert(at);
        }
    }
    assert!(kills.len() > times(30, 10), "{kills:?}");
    for id in ["a", "b", "c", "d", "e"] {
        pool.add(id);
    }
    assert_eq!(pool.leases().len(), 10);
    assert_eq!(pool.records().len(), 5);
}

#[test]
fn a_kill_on_the_way_to_an_address_of_the_dead_costs_no_address() {
    if !skip::can_trace("a_kill_on_the_way_to_an_address_of_the_dead_costs_no_address") {
        return;
    }
    // Remains of a crash take its only address.
    let pool = Pool::new("kill-dry", &json!({ "subnet": "10.1.2.0/30" }));
    let mut kills = BTreeSet::new();
    for syscall in CALLS {
        for nth in sample(1.., 0, SELDOM) {
            let at = format!("killed at {syscall} {nth}");
            pool.plant("10.1.2.2", "");
            let killed = killed(&pool, "ADD", "victim", (syscall, nth));
            pool.del("victim");
            assert_eq!(pool.add("other"), "10.1.2.2", "{at}");
            pool.run("ADD", "late").failed(999);
            pool.del("other");
            assert_eq!(pool.leases().len(), 0, "{at}");
            if !killed {
                break;
            }
            kills.insert(at);
        }
    }
    assert!(kills.len() > times(20, 7), "{kills:?}");
    assert_eq!(pool.records(), [""; 0]);
}
