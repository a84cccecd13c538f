//! An exhausted pool: every waiting ADD looks at all leases, and no other call waits for that.

use std::fs::{self, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::skip;
use linkspan_harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::pool::{Pool, ours};

/// A pool with that subnet in which every address is taken, and an index that says so.
fn full(test: &str, subnet: &str, size: u16) -> Pool {
    let pool = Pool::new(test, &json!({ "subnet": subnet, "lockTimeout": 0 }));
    for n in 2..size + 2 {
        pool.plant(
            &format!("10.1.{}.{}", n >> 8, n & 255),
            &format!("id{n}\r\neth0"),
        );
    }
    pool.run("ADD", "late").failed(999);
    pool
}

/// The same call under strace, which writes `log`.
fn traced(pool: &Pool, id: &str, log: &Path, what: &[&str]) -> Call {
    let args = ["-f", "-qq", "-s", "4096", "-o", log.to_str().unwrap()];
    pool.call_of("/usr/bin/strace", "ADD", id)
        .args(&args)
        .args(what)
        .args(&[ours()])
}

/// Makes strace stop an ADD when it lists the leases.
const STOP: [&str; 4] = [
    "-e",
    "trace=getdents64,openat",
    "-e",
    "inject=getdents64:signal=STOP:when=1",
];

/// Waits until strace reports a stopped process; returns the process.
fn stopped(log: &Path) -> Pid {
    let told = || {
        let log = fs::read_to_string(log).unwrap_or_default();
        let line = log
            .lines()
            .find(|line| line.contains("stopped by SIGSTOP"))?;
        line.split(' ').next()?.parse().ok()
    };
    Pid::from_raw(wait::some(told).unwrap())
}

/// The number of leases opened while the lock was free, and while it was held.
fn opened(log: &str, pool: &Pool) -> (usize, usize) {
    let (mut lock, mut held, mut counts) = (String::new(), false, (0, 0));
    let net = pool.dir();
    for line in log.lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let result = call.rsplit("= ").next().unwrap();
        if call.starts_with("openat") && call.contains(net.join("lock").to_str().unwrap()) {
            result.clone_into(&mut lock);
        } else if call.starts_with(&format!("flock({lock},")) && result == "0" {
            held = true;
        } else if call.starts_with(&format!("close({lock})")) {
            held = false;
        } else if call.starts_with("openat") && call.contains(net.join("10.").to_str().unwrap()) {
            counts = (counts.0 + usize::from(!held), counts.1 + usize::from(held));
        }
    }
    assert!(!lock.is_empty() && !held, "{log}");
    counts
}

#[test]
fn no_lease_but_those_that_change_is_looked_at_under_the_lock() {
    if !skip::can_trace("no_lease_but_those_that_change_is_looked_at_under_the_lock") {
        return;
    }
    let pool = full("dry-lock", "10.1.0.0/24", 253);
    let log = pool.root().join("strace");
    let add = |over: &Value| {
        let call = traced(&pool, "late", &log, &["-e", "trace=openat,flock,close"]);
        let run = call.conf(&pool.conf(over)).run();
        (run, opened(&fs::read_to_string(&log).unwrap(), &pool))
    };
    let (run, counts) = add(&json!({}));
    run.failed(999);
    assert_eq!(counts, (253, 0));
    // An empty lease, as left by a crash, is read again before its removal.
    fs::write(pool.dir().join("10.1.0.7"), "").unwrap();
    let (run, counts) = add(&json!({}));
    run.succeeded();
    assert_eq!(counts, (253, 1));
    // A requested address is a pool of one: only its own lease tells whether it may be removed.
    pool.del("late");
    let (run, counts) = add(&json!({ "runtimeConfig": { "ips": ["10.1.0.9"] } }));
    run.failed(999);
    assert_eq!(counts.0, 0);
    assert!((1..4).contains(&counts.1), "{counts:?}");
}

#[test]
fn a_del_goes_by_while_an_add_looks_at_the_leases_and_the_add_gets_its_address() {
    if !skip::can_trace("a_del_goes_by_while_an_add_looks_at_the_leases") {
        return;
    }
    let pool = full("dry-del", "10.1.0.0/29", 5);
    let log = pool.root().join("strace");
    let waiting = traced(&pool, "late", &log, &STOP).spawn();
    let pid = stopped(&log);
    // A held lock is refused at once.
    pool.del("id4");
    pool.add("quick");
    pool.del("quick");
    kill(pid, Signal::SIGCONT).unwrap();
    let given = waiting.wait().json();
    assert_eq!(given["ips"][0]["address"], "10.1.0.4/29");
    assert_eq!(pool.holders(), ["id2", "id3", "id5", "id6", "late"]);
    assert_eq!(pool.records().len(), 5);
}

/// Returns whether an ADD has looked at leases, by strace's log.
fn has_looked(log: &Path, pool: &Pool) -> bool {
    let lease = pool.dir().join("10.");
    let log = fs::read_to_string(log).unwrap();
    log.contains(lease.to_str().unwrap())
}

/// Waits until this many processes wait for a lock on `file`.
fn queued(file: &Path, count: usize) {
    let inode = format!(":{} ", fs::metadata(file).unwrap().ino());
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let ours = locks
            .lines()
            .filter(|line| line.contains("->") && line.contains(&inode));
        ours.count() == count
    };
    assert!(wait::so(waits));
}

#[test]
fn one_look_serves_all_who_wait_for_it() {
    if !skip::can_trace("one_look_serves_all_who_wait_for_it") {
        return;
    }
    let pool = full("dry-crowd", "10.1.0.0/29", 5);
    let patient = pool.ipam(&json!({ "lockTimeout": 600 }));
    let looks = pool.beside().join("looks");
    let held = fs::File::open(&looks).unwrap();
    held.lock().unwrap();
    let logs: [_; 4] = std::array::from_fn(|n| pool.root().join(format!("strace{n}")));
    let waiting = logs.each_ref().map(|log| {
        let call = traced(&pool, "late", log, &["-e", "trace=openat"]);
        call.conf(&patient).spawn()
    });
    queued(&looks, 4);
    drop(held);
    for run in waiting {
        let told = run.wait().failed(999);
        assert!(told.contains("and 5 cannot be judged"), "{told}");
    }
    let looked = logs.iter().filter(|log| has_looked(log, &pool)).count();
    assert_eq!(looked, 1);
    // A later process looks again: one of the five may have died meanwhile.
    let log = &logs[0];
    let late = traced(&pool, "late", log, &["-e", "trace=openat"]);
    late.run().failed(999);
    assert!(has_looked(log, &pool));
    // ADD also works if the file is damaged or unusable.
    fs::write(&looks, "nonsense").unwrap();
    pool.run("ADD", "late").failed(999);
    fs::remove_file(&looks).unwrap();
    fs::create_dir(&looks).unwrap();
    pool.run("ADD", "late").failed(999);
    pool.del("id2");
    pool.add("late");
}

#[test]
fn a_look_that_began_earlier_is_not_enough() {
    if !skip::can_trace("a_look_that_began_earlier_is_not_enough") {
        return;
    }
    let pool = full("dry-early", "10.1.0.0/29", 5);
    let patient = pool.ipam(&json!({ "lockTimeout": 600 }));
    let log = |n: usize| pool.root().join(format!("strace{n}"));
    let first = traced(&pool, "first", &log(1), &STOP)
        .conf(&patient)
        .spawn();
    let pid = stopped(&log(1));
    let second = traced(&pool, "second", &log(2), &["-e", "trace=openat"]);
    let second = second.conf(&patient).spawn();
    queued(&pool.beside().join("looks"), 1);
    kill(pid, Signal::SIGCONT).unwrap();
    first.wait().failed(999);
    second.wait().failed(999);
    assert!(has_looked(&log(2), &pool));
}

#[test]
fn no_more_addresses_of_the_dead_are_taken_back_at_once_than_a_del_can_wait_for() {
    let pool = Pool::new("dry-many", &json!({ "subnet": "10.1.0.0/23" }));
    for n in 2..511 {
        pool.plant(&format!("10.1.{}.{}", n >> 8, n & 255), "");
    }
    let left = |pool: &Pool| pool.holders().iter().filter(|id| id.is_empty()).count();
    pool.add("first");
    assert_eq!(left(&pool), 509 - 256);
    for n in 1..256 {
        pool.add(&format!("next{n}"));
    }
    assert_eq!(left(&pool), 509 - 256);
    pool.add("last");
    assert_eq!(left(&pool), 0);
}

#[test]
fn a_lease_that_vanished_unseen_is_missed_when_the_pool_is_dry() {
    let pool = full("dry-unseen", "10.1.0.0/29", 5);
    // A lease is removed at the moment at which a change ends: the directory looks unchanged.
    let seen = fs::metadata(pool.dir()).unwrap().modified().unwrap();
    fs::remove_file(pool.dir().join("10.1.0.5")).unwrap();
    let times = FileTimes::new().set_modified(seen);
    fs::File::open(pool.dir())
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(pool.add("late"), "10.1.0.5");
    pool.run("ADD", "later").failed(999);
}
