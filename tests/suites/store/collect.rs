//! GC and STATUS.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use linkspan_harness::machine::{in_machine, make_read_only, unmount};
use serde_json::json;

use crate::pool::Pool;

#[test]
fn gc_leaves_exactly_the_valid_attachments_of_its_network() {
    let pool = Pool::new(
        "gc",
        &json!({ "ranges": [[{ "subnet": "10.1.0.0/16" }], [{ "subnet": "fd00::/64" }]] }),
    );
    let names = |kind: &str| -> Vec<String> { (0..20).map(|n| format!("{kind}{n}")).collect() };
    let (live, dead) = (names("live"), names("dead"));
    for id in live.iter().chain(&dead) {
        pool.add(id);
    }
    let other = pool.conf(&json!({ "name": "other" }));
    for id in ["live0", "dead0"] {
        pool.call("ADD", id).conf(&other).run().succeeded();
    }
    // The same container's other interface is another attachment.
    pool.call("ADD", "live0")
        .env("CNI_IFNAME", "net1")
        .run()
        .succeeded();
    for (name, content) in [
        ("10.1.9.1", "live1"),
        ("10.1.9.2", "dead1"),
        ("10.1.9.3", ""),
        ("10.1.9.4", "who knows"),
    ] {
        pool.plant(name, content);
    }
    let valid: Vec<_> = live.iter().map(String::as_str).collect();
    pool.gc(&valid);
    let mut left = [valid.clone(), valid.clone(), vec!["live1"]].concat();
    left.sort_unstable();
    assert_eq!(pool.holders(), left);
    let mut records: Vec<_> = valid.iter().map(|id| format!("{id}:eth0")).collect();
    records.sort();
    assert_eq!(pool.records(), records);
    assert_eq!(
        fs::read_dir(pool.root().join("networks/other"))
            .unwrap()
            .count(),
        4 + 3
    );
    for id in ["live0", "dead0"] {
        pool.call("CHECK", id).conf(&other).run().succeeded();
    }
    // A late DEL of what was collected is a success.
    pool.del("dead0");
    pool.gc(&[]);
    assert_eq!(pool.holders(), [""; 0]);
}

#[test]
fn gc_without_a_list_collects_nothing_and_without_a_store_has_nothing_to_do() {
    let pool = Pool::new("gc-none", &json!({ "subnet": "10.1.2.0/24" }));
    pool.gc(&[]);
    assert!(!pool.dir().exists());
    pool.add("a");
    let run = pool.run("GC", "");
    assert_eq!(run.succeeded(), "");
    let told =
        "host-local: GC collected nothing: the configuration has no cni.dev/valid-attachments";
    assert!(run.stderr.starts_with(told), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1);
    assert_eq!(pool.holders(), ["a"]);
    // Go writes an empty list as null.
    let mut null = pool.conf(&json!({}));
    null["cni.dev/valid-attachments"] = json!(null);
    pool.call("GC", "").conf(&null).run().succeeded();
    assert_eq!(pool.holders(), [""; 0]);
}

#[test]
fn without_reclaim_gc_goes_by_the_list_alone() {
    let pool = Pool::new(
        "gc-plain",
        &json!({ "subnet": "10.1.2.0/24", "reclaim": false }),
    );
    for id in ["a", "b"] {
        pool.add(id);
    }
    pool.plant("10.1.2.9", "kept for the router");
    pool.gc(&["a"]);
    assert_eq!(pool.holders(), ["a", "kept for the router"]);
}

#[test]
fn status_names_the_cause_and_writes_nothing() {
    in_machine(|| {
        let pool = Pool::new("status", &json!({ "subnet": "10.1.2.0/30" }));
        pool.run("STATUS", "").succeeded();
        assert!(!pool.root().join("networks").exists());
        pool.add("a");
        let state = |pool: &Pool| {
            (
                fs::metadata(pool.dir()).unwrap().modified().unwrap(),
                fs::read(pool.beside().join("index")).unwrap(),
            )
        };
        let before = state(&pool);
        let told = pool.strict_status().failed(50);
        assert!(
            told.contains("no IP addresses available in range set: 10.1.2.1-10.1.2.2"),
            "{told}"
        );
        assert!(told.contains("widen the range"), "{told}");
        pool.run("STATUS", "").succeeded();
        assert_eq!(state(&pool), before);
        pool.del("a");
        pool.strict_status().succeeded();
        // Remains of a crash are not an error: ADD would take them back.
        pool.plant("10.1.2.2", "");
        pool.strict_status().succeeded();

        let networks = pool.root().join("networks");
        make_read_only(&networks);
        let told = pool.run("STATUS", "").failed(50);
        unmount(&networks);
        assert!(
            told.contains(&format!("write to {}", pool.dir().display())),
            "{told}"
        );
        let hint = "hint: set ipam.dataDir to a directory on a writable filesystem";
        assert!(told.contains(hint), "{told}");
    });
}

#[test]
fn a_range_that_gives_nothing_whatever_the_pods_do_is_code_50() {
    let only = json!({ "subnet": "10.1.2.0/30", "exclude": ["10.1.2.2"] });
    let pool = Pool::new("status-never", &only);
    let told = pool.run("STATUS", "").failed(50);
    assert!(told.contains("of 0 addresses 0 belong"), "{told}");
}

#[test]
fn status_tells_a_store_that_is_no_directory() {
    let pool = Pool::new("status-file", &json!({ "subnet": "10.1.2.0/30" }));
    fs::create_dir(pool.root().join("networks")).unwrap();
    fs::write(pool.dir(), "").unwrap();
    fs::set_permissions(pool.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let told = pool.run("STATUS", "").failed(50);
    assert!(
        told.contains(&format!("read directory {}", pool.dir().display())),
        "{told}"
    );
    assert!(
        told.contains("hint: ipam.dataDir must be a directory"),
        "{told}"
    );
}
