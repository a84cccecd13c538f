//! Waiting for another process's lock.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use linkspan_harness::forks;
use linkspan_harness::wait;
use serde_json::json;

use crate::pool::Pool;

/// A process that has the lock until it ends.
fn holder(pool: &Pool) -> Child {
    fs::create_dir_all(pool.dir()).unwrap();
    let lock = pool.dir().join("lock");
    let mut command = Command::new("flock");
    command
        .args([
            "--no-fork",
            lock.to_str().unwrap(),
            "sh",
            "-c",
            "echo locked; read never",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = forks::start(&mut command).unwrap();
    let mut told = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut told).unwrap();
    assert_eq!(&told, b"locked\n");
    child
}

#[test]
fn a_lock_that_is_not_freed_is_told_with_its_holder() {
    let pool = Pool::new(
        "busy",
        &json!({ "subnet": "10.1.2.0/24", "lockTimeout": 1 }),
    );
    let mut child = holder(&pool);
    let verbs = ["ADD", "DEL", "CHECK"].map(|verb| (verb, pool.call(verb, "a").spawn()));
    for (verb, running) in verbs {
        let told = running.wait().failed(11);
        let who = format!(
            "was still locked after 1 s by process {} (sh -c echo locked; read never)",
            child.id()
        );
        assert!(told.contains(&who), "{verb}: {told}");
        assert!(told.contains("hint: end that process"), "{verb}: {told}");
    }
    let at_once = pool.ipam(&json!({ "lockTimeout": 0 }));
    let told = pool.call("ADD", "a").conf(&at_once).run().failed(11);
    assert!(told.contains("was still locked after 0 s"), "{told}");
    // STATUS needs no lock.
    pool.run("STATUS", "").succeeded();
    child.kill().unwrap();
    child.wait().unwrap();
    pool.add("a");
}

#[test]
fn the_death_of_the_holder_frees_the_lock() {
    let pool = Pool::new(
        "freed",
        &json!({ "subnet": "10.1.2.0/24", "lockTimeout": 600 }),
    );
    let mut child = holder(&pool);
    let waiting = pool.call("ADD", "a").spawn();
    // It waits: the kernel's list has its entry.
    let inode = std::os::unix::fs::MetadataExt::ino(
        &File::open(pool.dir().join("lock"))
            .unwrap()
            .metadata()
            .unwrap(),
    );
    let queued = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
    let waits = || {
        fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .any(queued)
    };
    assert!(wait::so(waits));
    child.kill().unwrap();
    child.wait().unwrap();
    waiting.wait().succeeded();
    assert_eq!(pool.holders(), ["a"]);
}
