//! Any files in a store of leases, between calls of host-local: no address is given twice, and no lease is lost.
//!
//! The bytes are files, each after a line `=== NAME`. A name that ends in `/` is a directory, in `@` a symbolic link
//! to the bytes, in `|` a FIFO, and in `~` a file whose first 80 bytes are kept, so that the seal of an index stays
//! valid.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Component, Path};

use linkspan_plugin::Reply;
use linkspan_protocol::env::Env;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::reply::{nowhere, serve};
use crate::scratch;

const POOL: &str = "10.1.0.0/29";
/// The pool has five addresses, and as many of IPv6. Some are taken when all are requested.
const EARLY: [&str; 2] = ["a", "b"];
const LATE: [&str; 5] = ["c", "d", "e", "f", "g"];
/// Keeps the head of a file, so that the bytes reach the bits after it.
const HEAD: u64 = 80;

pub(crate) fn target(data: &[u8]) {
    scratch::within(|dir| {
        let tampered = find(data, b".linkspan").is_some();
        let store = Store { dir, tampered };
        for id in EARLY {
            assert!(store.add(id).is_some());
        }
        plant(dir, data);
        for id in LATE {
            store.add(id);
        }
        // Again, with all leases known: an owner of addresses must not get others.
        store.add(LATE[0]);
        store.call("STATUS", "", &json!({}));
        store.del(EARLY[0]);
        store.del(LATE[1]);
        store.add("h");
        store.collect(LATE[0]);
    });
}

struct Store<'a> {
    dir: &'a Path,
    /// Records may be missing under a good seal; then DEL cannot find the leases that it leaves.
    tampered: bool,
}

impl Store<'_> {
    fn call(&self, verb: &str, id: &str, over: &Value) -> Reply {
        let mut conf = json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "ipam": {
                "type": "host-local",
                "dataDir": self.dir,
                "ranges": [[{ "subnet": POOL }], [{ "subnet": "fd00::/125" }]],
                "lockTimeout": 0,
            },
        });
        let members = conf.as_object_mut().unwrap();
        members.extend(over.as_object().unwrap().clone());
        let env = Env {
            container_id: id.to_owned(),
            ..nowhere(verb)
        };
        serve(
            &linkspan_host_local::ENTRY,
            &env,
            conf.to_string().as_bytes(),
        )
    }

    /// Every lease, as the Go plugin would read it: the address, and its owner.
    fn leases(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.dir.join("net")).into_iter().flatten();
        let mut found = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) || !is_address(&name) {
                continue;
            }
            let text = fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            if is_lease(&text) {
                found.insert(name, text);
            }
        }
        found
    }

    /// ADD, which must not take another's address; returns the addresses on success.
    fn add(&self, id: &str) -> Option<Vec<String>> {
        let before = self.leases();
        let reply = self.call("ADD", id, &json!({}));
        let after = self.leases();
        for (ip, owner) in &before {
            assert_eq!(after.get(ip), Some(owner), "{ip} at ADD of {id}");
        }
        if !reply.ok {
            assert_eq!(after, before, "a refused ADD of {id} gave something");
            return None;
        }
        let result: Value = serde_json::from_slice(&reply.stdout).unwrap();
        let ips = result["ips"].as_array().unwrap().iter();
        let ips: Vec<String> = ips
            .map(|ip| {
                ip["address"]
                    .as_str()
                    .unwrap()
                    .split('/')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(ips.len(), 2);
        for ip in &ips {
            assert_eq!(before.get(ip), None, "{ip} was given to {id}, too");
            assert_eq!(after.get(ip), Some(&lease(id)), "{ip} of {id}");
        }
        assert!(self.call("CHECK", id, &json!({})).ok, "CHECK of {id}");
        Some(ips)
    }

    /// DEL, which must release its own addresses and no others.
    fn del(&self, id: &str) {
        let mut before = self.leases();
        let reply = self.call("DEL", id, &json!({}));
        let mut after = self.leases();
        if !reply.ok || self.tampered {
            for leases in [&mut before, &mut after] {
                leases.retain(|_, owner| *owner != lease(id) && owner != id);
            }
        } else {
            let exact = before.values().any(|owner| *owner == lease(id));
            let own = if exact { lease(id) } else { id.to_owned() };
            before.retain(|_, owner| *owner != own);
        }
        assert_eq!(after, before, "DEL of {id}");
    }

    /// GC, which must spare the valid one.
    fn collect(&self, id: &str) {
        let valid = json!({
            "cni.dev/valid-attachments": [{ "containerID": id, "ifname": "eth0" }],
        });
        let mut expected = self.leases();
        if self.call("GC", "", &valid).ok {
            expected.retain(|_, owner| *owner == lease(id) || owner == id);
            assert_eq!(self.leases(), expected, "GC but for {id}");
        }
    }
}

fn lease(id: &str) -> String {
    format!("{id}\r\neth0")
}

/// Returns whether a file of that name can be a lease.
fn is_address(name: &str) -> bool {
    let ip = name.parse::<std::net::IpAddr>();
    ip.is_ok_and(|ip| ip.to_string() == name)
}

/// Returns whether a file with that content has an owner.
fn is_lease(text: &str) -> bool {
    use linkspan_protocol::ident::{ContainerId, IfName};
    match text.split_once("\r\n") {
        Some((id, ifname)) => ContainerId::parse(id).is_ok() && IfName::parse(ifname).is_ok(),
        None => ContainerId::parse(text).is_ok(),
    }
}

/// Creates the files that the bytes describe, as far as possible.
fn plant(dir: &Path, data: &[u8]) {
    const MARK: &[u8] = b"\n=== ";
    let data = [b"\n", data].concat();
    let mut rest = &data[..];
    while let Some(at) = find(rest, MARK) {
        rest = &rest[at + MARK.len()..];
        let end = find(rest, b"\n").unwrap_or(rest.len());
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = rest.get(end + 1..).unwrap_or_default();
        // The end of the line belongs to the next mark.
        let content = &rest[..find(rest, MARK).unwrap_or(rest.len())];
        rest = &rest[content.len()..];
        entry(dir, &name, content);
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Skips impossible files.
fn entry(dir: &Path, name: &str, content: &[u8]) {
    let plain = name.trim_end_matches(['/', '@', '|', '~']);
    let inside = |path: &Path| {
        path.components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    if plain.is_empty() || plain.contains('\0') || !inside(Path::new(plain)) {
        return;
    }
    let path = dir.join(plain);
    let there = fs::canonicalize(path.parent().unwrap());
    if !there.is_ok_and(|there| there.starts_with(dir)) {
        return;
    }
    if name.ends_with('~') {
        let patched = OpenOptions::new().write(true).open(&path);
        drop(patched.and_then(|file| file.write_all_at(content, HEAD)));
        return;
    }
    if !path.is_dir() {
        drop(fs::remove_file(&path));
    }
    match name.strip_prefix(plain) {
        Some("/") => drop(fs::create_dir(&path)),
        Some("@") => {
            let target = String::from_utf8_lossy(content);
            let target = target.trim_end_matches('\n');
            // Writes through the link must not leave the directory, nor harm the machine.
            if inside(Path::new(target)) || target == "/dev/zero" {
                drop(symlink(target, &path));
            }
        }
        Some("|") => drop(mkfifo(&path, Mode::S_IRWXU)),
        _ => drop(fs::write(&path, content)),
    }
}
