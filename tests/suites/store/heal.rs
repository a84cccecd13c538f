//! Addresses are taken back from dead containers, and from no others.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};

use linkspan_harness::call::Call;
use linkspan_harness::forks;
use linkspan_harness::machine::{BootId, in_machine, in_user_namespace};
use linkspan_netlink::netns::Netns;
use serde_json::json;

use crate::pool::{Pool, address};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn small(test: &str) -> Pool {
    Pool::new(test, &json!({ "subnet": "10.1.2.0/29" }))
}

#[test]
fn a_full_store_of_an_earlier_boot_is_no_obstacle() {
    in_machine(|| {
        let pool = small("reboot");
        let boot = BootId::replaced(pool.root());
        let given = IDS.map(|id| pool.add(id));
        pool.run("ADD", "late").failed(999);

        boot.set(2);
        pool.strict_status().succeeded();
        let off = pool.ipam(&json!({ "reclaim": false }));
        let told = pool.call("ADD", "new").conf(&off).run().failed(999);
        assert!(told.contains("5 to dead ones"), "{told}");
        assert!(told.contains("hint: turn ipam.reclaim on"), "{told}");
        assert_eq!(pool.holders(), IDS);

        let new = pool.add("new");
        assert!(given.contains(&new), "{new}");
        assert_eq!(pool.holders(), ["new"]);
        assert_eq!(pool.records(), ["new:eth0"]);
        // Late calls succeed, and harm no owner.
        for id in IDS {
            pool.del(id);
        }
        assert_eq!(pool.holders(), ["new"]);
        pool.run("CHECK", "new").succeeded();
    });
}

#[test]
fn a_pool_with_room_leaves_earlier_boots_alone_until_gc() {
    in_machine(|| {
        let pool = small("reboot-room");
        let boot = BootId::replaced(pool.root());
        pool.add("old");
        boot.set(2);
        pool.add("new");
        assert_eq!(pool.holders(), ["new", "old"]);
        pool.gc(&["old", "new"]);
        assert_eq!(pool.holders(), ["new"]);
        // The same container again, as some runtimes start it after a reboot.
        boot.set(3);
        pool.add("new");
        assert_eq!(pool.holders(), ["new"]);
        pool.run("ADD", "new").failed(999);
    });
}

#[test]
fn leases_of_the_go_plugin_age_with_the_boot_in_which_they_were_seen() {
    in_machine(|| {
        let pool = small("reboot-go");
        let boot = BootId::replaced(pool.root());
        for n in 2..6 {
            pool.plant(&format!("10.1.2.{n}"), &format!("go{n}\r\neth0"));
        }
        pool.add("ours");
        pool.run("ADD", "late").failed(999);
        boot.set(2);
        // One of them was recreated in this boot, which shows on the file.
        fs::remove_file(pool.dir().join("10.1.2.3")).unwrap();
        pool.plant("10.1.2.3", "go3\r\neth0");
        pool.add("late");
        assert_eq!(pool.holders(), ["go3", "late"]);
    });
}

/// A container's namespace: a path that leads to it while the value lives.
fn path(netns: &Netns) -> String {
    format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd())
}

fn add_in(pool: &Pool, id: &str, path: &str) -> Call {
    let path = path.replace("self", &std::process::id().to_string());
    pool.call("ADD", id).netns(&path)
}

/// A process that ends with its standard input.
fn inhabitant(netns: &Netns) -> Child {
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::null());
    netns.scope(|| forks::start(&mut cat)).unwrap().unwrap()
}

#[test]
fn a_dry_pool_takes_the_address_of_a_namespace_that_is_gone_and_no_other() {
    in_machine(|| {
        let pool = small("gone");
        let (dying, living) = (Netns::create().unwrap(), Netns::create().unwrap());
        let theirs = address(&add_in(&pool, "dying", &path(&dying)).run().json());
        add_in(&pool, "living", &path(&living)).run().succeeded();
        for id in ["unknown", "other", "more"] {
            pool.add(id);
        }
        let told = pool.run("ADD", "late").failed(999);
        assert!(told.contains("of 5 addresses 2 belong to live attachments, 0 to dead ones, and 3 cannot be judged"), "{told}");

        // The path is dangling, but a process is still inside.
        let mut child = inhabitant(&dying);
        drop(dying);
        let told = pool.run("ADD", "late").failed(999);
        assert!(told.contains("2 belong to live"), "{told}");
        child.kill().unwrap();
        child.wait().unwrap();

        let off = pool.ipam(&json!({ "reclaim": false }));
        pool.call("ADD", "late").conf(&off).run().failed(999);
        assert_eq!(pool.add("late"), theirs);
        pool.del("dying");
        assert_eq!(
            pool.holders(),
            ["late", "living", "more", "other", "unknown"]
        );
        pool.run("ADD", "later").failed(999);
    });
}

#[test]
fn root_of_a_user_namespace_judges_by_the_processes_in_it() {
    in_user_namespace(|| {
        let pool = Pool::new("user", &json!({ "subnet": "10.1.2.0/30" }));
        let dying = Netns::create().unwrap();
        add_in(&pool, "dying", &path(&dying)).run().succeeded();
        let mut child = inhabitant(&dying);
        drop(dying);
        let told = pool.run("ADD", "late").failed(999);
        assert!(told.contains("1 belong to live attachments"), "{told}");
        child.kill().unwrap();
        child.wait().unwrap();
        pool.add("late");
    });
}

#[test]
fn a_dead_namespace_is_no_reason_while_there_is_room() {
    in_machine(|| {
        let pool = small("gone-room");
        let dying = Netns::create().unwrap();
        add_in(&pool, "dying", &path(&dying)).run().succeeded();
        drop(dying);
        pool.add("a");
        pool.gc(&["dying", "a"]);
        assert_eq!(pool.holders(), ["a", "dying"]);
        // A requested address is a pool of one.
        let conf = pool.conf(&json!({ "runtimeConfig": { "ips": ["10.1.2.2"] } }));
        pool.call("ADD", "static").conf(&conf).run().succeeded();
        assert_eq!(pool.holders(), ["a", "static"]);
    });
}

#[test]
fn a_namespace_seen_from_another_mount_namespace_cannot_be_judged() {
    in_machine(|| {
        let pool = Pool::new("mounts", &json!({ "subnet": "10.1.2.0/30" }));
        let dying = Netns::create().unwrap();
        add_in(&pool, "dying", &path(&dying)).run().succeeded();
        drop(dying);
        let late = pool
            .call_of("unshare", "ADD", "late")
            .args(&["--mount", crate::pool::ours()]);
        let told = late.run().failed(999);
        assert!(told.contains("1 cannot be judged"), "{told}");
        pool.add("late");
    });
}

#[test]
fn what_a_crash_has_left_is_taken_when_the_pool_is_dry() {
    let pool = small("left");
    for (name, content) in [
        ("10.1.2.2", ""),
        ("10.1.2.3", "\0\0\0\0"),
        ("10.1.2.4", "kept for the router"),
    ] {
        pool.plant(name, content);
    }
    fs::create_dir(pool.dir().join("10.1.2.5")).unwrap();
    assert_eq!(pool.add("a"), "10.1.2.6");
    assert_eq!(fs::read_dir(pool.dir()).unwrap().count(), 5 + 2);
    let given = ["b", "c", "d"].map(|id| pool.add(id));
    assert_eq!(given, ["10.1.2.2", "10.1.2.3", "10.1.2.4"]);
    pool.run("ADD", "late").failed(999);
    assert!(pool.dir().join("10.1.2.5").is_dir());
}
