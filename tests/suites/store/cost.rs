//! The cost of one operation in files, for any size of the pool. Counted by strace.

use std::fs;

use linkspan_harness::skip;
use serde_json::{Value, json};

use crate::pool::{self, Pool, ours};

/// The system calls that name a file of the pool or link to one, as (call, file).
fn file_operations(pool: &Pool, verb: &str, id: &str) -> Vec<String> {
    let log = pool.root().join("strace");
    pool.call_of("strace", verb, id)
        .args(&[
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            "trace=%file",
            "-o",
            log.to_str().unwrap(),
            ours(),
        ])
        .run()
        .succeeded();
    let log = fs::read_to_string(&log).unwrap();
    let root = pool.root().to_str().unwrap();
    // The index is looked up from the network's directory.
    let ours = log
        .lines()
        .filter(|line| line.contains(root) || line.contains("../.linkspan"));
    ours.map(|line| {
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    })
    .collect()
}

/// The names of the calls.
fn names(operations: &[String]) -> Vec<&str> {
    operations
        .iter()
        .map(|line| line.split('(').next().unwrap())
        .collect()
}

/// Leases of many attachments, with forty addresses each.
fn fill(pool: &Pool, prefix: &str, count: usize) {
    let name = |n: usize| {
        let n = n + 2;
        if prefix.contains(':') {
            format!("{prefix}{n:x}")
        } else {
            format!("{prefix}{}.{}", n >> 8, n & 255)
        }
    };
    let path = |n| pool.dir().join(name(n));
    for n in 0..count {
        match n % 40 {
            0 => pool.plant(&name(n), &format!("other{n}\r\neth0")),
            // Links, because new files with content are slow on some filesystems.
            more => fs::hard_link(path(n - more), path(n)).unwrap(),
        }
    }
}

#[test]
fn no_operation_looks_at_other_leases() {
    if !skip::can_trace("no_operation_looks_at_other_leases") {
        return;
    }
    let dual = json!({ "ranges": [[{ "subnet": "10.1.0.0/22" }], [{ "subnet": "fd00::/64" }]] });
    let counted = |test: &str, ipam: &Value, leases: usize| -> Vec<Vec<String>> {
        let pool = Pool::new(test, ipam);
        fill(&pool, "10.1.", leases);
        fill(&pool, "fd00::", leases);
        // The first call builds the index.
        pool.add("first");
        let verbs = [
            ("ADD", "a"),
            ("CHECK", "a"),
            ("DEL", "a"),
            ("DEL", "a"),
            ("ADD", "b"),
        ];
        let counted = verbs.map(|(verb, id)| file_operations(&pool, verb, id));
        counted
            .map(|lines| names(&lines).into_iter().map(str::to_owned).collect())
            .to_vec()
    };
    let empty = counted("cost-empty", &dual, 0);
    // All but 11 of the 1,021 addresses.
    let full = counted("cost-full", &dual, 1010);
    assert_eq!(empty, full);
    for (operations, most) in empty.iter().zip([10, 6, 9, 5, 10]) {
        assert!(operations.len() <= most, "{operations:#?}");
    }
    let single = counted("cost-single", &json!({ "subnet": "10.1.0.0/20" }), 0);
    for operations in single {
        assert!(operations.len() <= 8, "{operations:#?}");
    }
}

#[test]
fn an_index_that_is_void_or_damaged_is_made_anew() {
    let pool = Pool::new("damage", &json!({ "subnet": "10.1.0.0/20" }));
    pool.add("a");
    let index = pool.beside().join("index");
    let damage: [&dyn Fn(); 6] = [
        &|| fs::write(&index, "").unwrap(),
        &|| fs::write(&index, "nonsense").unwrap(),
        &|| fs::remove_file(&index).unwrap(),
        &|| {
            fs::File::options()
                .write(true)
                .open(&index)
                .unwrap()
                .set_len(70_000)
                .unwrap();
        },
        &|| fs::remove_dir_all(pool.beside()).unwrap(),
        &|| fs::remove_dir_all(pool.root().join("networks/.linkspan")).unwrap(),
    ];
    for (n, damage) in damage.iter().enumerate() {
        damage();
        pool.run("CHECK", "a").succeeded();
        pool.run("STATUS", "").succeeded();
        assert_eq!(pool.add(&format!("b{n}")), format!("10.1.0.{}", n + 3));
        damage();
        pool.run("ADD", "a").failed(999);
        pool.del(&format!("b{n}"));
        assert_eq!(pool.holders(), ["a"]);
    }
}

#[test]
fn an_attachment_with_more_addresses_than_a_record_holds_is_known_all_the_same() {
    let pool = Pool::new("many", &json!({ "subnet": "10.1.0.0/20" }));
    for n in 2..202 {
        pool.plant(&format!("10.1.0.{n}"), "many\r\neth0");
    }
    assert_eq!(pool.add("a"), "10.1.0.202");
    assert_eq!(pool.add("b"), "10.1.0.203");
    for id in ["a", "b", "many"] {
        pool.run("CHECK", id).succeeded();
        pool.run("ADD", id).failed(999);
    }
    pool.del("many");
    assert_eq!(pool.holders(), ["a", "b"]);
    assert_eq!(pool.records(), ["a:eth0", "b:eth0"]);
}

#[test]
fn changes_by_hand_are_noticed() {
    let pool = Pool::new("hand", &json!({ "subnet": "10.1.2.0/29" }));
    pool.add("a");
    pool.add("b");
    fs::remove_file(pool.dir().join("10.1.2.2")).unwrap();
    pool.plant("10.1.2.4", "c\r\neth0");
    pool.run("CHECK", "a").failed(999);
    pool.run("CHECK", "c").succeeded();
    assert_eq!(pool.add("d"), "10.1.2.5");
    pool.del("c");
    fs::rename(pool.dir().join("10.1.2.3"), pool.dir().join("10.1.2.2")).unwrap();
    pool.del("b");
    assert_eq!(pool.holders(), ["d"]);
    // Another directory under the same name is another store.
    fs::rename(pool.dir(), pool.root().join("away")).unwrap();
    assert_eq!(pool.add("d"), "10.1.2.2");
}

#[test]
fn the_go_plugin_works_on_the_same_directory_between_our_calls() {
    let Some(go) = pool::go("one directory of both suites") else {
        return;
    };
    let go = go.as_str();
    let pool = Pool::new("go", &json!({ "subnet": "10.1.2.0/29" }));
    let spoken = pool.conf(&json!({ "cniVersion": "1.0.0" }));
    let run = |exe, verb, id: &str| pool.call_of(exe, verb, id).conf(&spoken).run();
    for (exe, other, n) in [(ours(), go, 0), (go, ours(), 1), (ours(), go, 2)] {
        let ids = [format!("one{n}"), format!("two{n}")];
        run(exe, "ADD", &ids[0]).succeeded();
        run(other, "ADD", &ids[1]).succeeded();
        run(other, "ADD", &ids[0]).failed(999);
        for id in &ids {
            run(ours(), "CHECK", id).succeeded();
            run(go, "CHECK", id).succeeded();
        }
        assert_eq!(pool.holders(), ids);
        run(exe, "DEL", &ids[1]).succeeded();
        assert_eq!(pool.holders(), ids[..1]);
        run(other, "DEL", &ids[0]).succeeded();
        run(ours(), "CHECK", &ids[0]).failed(999);
        assert_eq!(pool.holders(), [""; 0]);
    }
    // It finds the same address free, and the same pool full.
    for n in 0..5 {
        run([ours(), go][n % 2], "ADD", &format!("full{n}")).succeeded();
    }
    for exe in [ours(), go] {
        let told = run(exe, "ADD", "late").stdout;
        assert!(
            told.contains("no IP addresses available in range set"),
            "{told}"
        );
    }
}
