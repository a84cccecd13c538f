//! Leases edited in place, which does not show on their directory.

use std::fs;

use serde_json::json;

use crate::pool::Pool;

/// A pool in which `a` and `b` have addresses, and the lease of `a` has another text now.
fn edited(test: &str, text: &str) -> Pool {
    let pool = Pool::new(test, &json!({ "subnet": "10.1.2.0/24" }));
    assert_eq!(pool.add("a"), "10.1.2.2");
    pool.add("b");
    let before = fs::metadata(pool.dir()).unwrap().modified().unwrap();
    fs::write(pool.dir().join("10.1.2.2"), text).unwrap();
    let after = fs::metadata(pool.dir()).unwrap().modified().unwrap();
    assert_eq!(before, after);
    pool
}

#[test]
fn a_lease_that_names_the_container_alone_now_is_found_and_removed() {
    let pool = edited("edited-old", "a");
    pool.run("CHECK", "a").succeeded();
    pool.run("ADD", "a").failed(999);
    pool.del("a");
    assert_eq!(pool.holders(), ["b"]);
    assert_eq!(pool.records(), ["b:eth0"]);
    pool.run("CHECK", "a").failed(999);
    assert_eq!(pool.add("a"), "10.1.2.4");
}

#[test]
fn del_alone_finds_it_too() {
    let pool = edited("edited-del", "a");
    pool.del("a");
    assert_eq!(pool.holders(), ["b"]);
    // The index has the right counts again: no lease of this form is left, and the address is free.
    let conf = pool.conf(&json!({ "runtimeConfig": { "ips": ["10.1.2.2"] } }));
    pool.call("ADD", "c").conf(&conf).run().succeeded();
}

#[test]
fn a_lease_that_names_somebody_else_now_is_theirs() {
    let pool = edited("edited-other", "c\r\neth0");
    pool.run("CHECK", "a").failed(999);
    pool.del("a");
    assert_eq!(pool.holders(), ["b", "c"]);
    assert_eq!(pool.records(), ["b:eth0", "c:eth0"]);
    pool.run("CHECK", "c").succeeded();
    pool.del("c");
    assert_eq!(pool.holders(), ["b"]);
}

#[test]
fn a_lease_that_was_written_anew_stays_its_holders() {
    let pool = edited("edited-same", "a\r\neth0");
    pool.run("CHECK", "a").succeeded();
    pool.run("ADD", "a").failed(999);
    pool.del("a");
    assert_eq!(pool.holders(), ["b"]);
}

#[test]
fn a_lease_that_was_emptied_is_nobodys() {
    let pool = edited("edited-empty", "");
    pool.run("CHECK", "a").failed(999);
    pool.del("a");
    assert_eq!(pool.holders(), ["", "b"]);
    assert_eq!(pool.records(), ["b:eth0"]);
    pool.gc(&["b"]);
    assert_eq!(pool.holders(), ["b"]);
}
