//! Many concurrent processes on one store, some of them killed, some of them the Go plugin's, and GC in between.
//!
//! `LINKSPAN_TORTURE=N` runs N processes, 500 at a time, instead of the short form; and N pools in [`crate::model`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use linkspan_harness::dice::Dice;
use linkspan_harness::thorough::times;
use serde_json::json;

use crate::pool::{self, Pool, address, ours};

/// The knowledge outside of the store.
#[derive(Default)]
struct World {
    /// Owners with an address whose DEL has not begun.
    held: BTreeMap<String, IpAddr>,
    /// Owners with an ADD of unknown outcome: GC must spare them while they run.
    pending: BTreeSet<String>,
}

struct Torture {
    pool: Pool,
    world: Mutex<World>,
    started: AtomicUsize,
    total: usize,
    hands: usize,
    go: Option<String>,
}

impl Torture {
    /// One process after another until all have been started.
    fn work(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        let mut mine = Vec::new();
        loop {
            let n = self.started.fetch_add(1, Ordering::Relaxed);
            if n >= self.total {
                return;
            }
            match dice.below(20) {
                0 => self.gc(),
                1..=3 => self.killed_add(&format!("killed{n}"), &mut dice),
                4..=11 => mine.extend(self.add(&format!("c{n}"), &mut dice)),
                _ => {
                    let at = dice.below(mine.len().max(1) as u64);
                    match usize::try_from(at).ok().filter(|at| *at < mine.len()) {
                        Some(at) => self.del(&mine.swap_remove(at), &mut dice),
                        None => mine.extend(self.add(&format!("c{n}"), &mut dice)),
                    }
                }
            }
        }
    }

    fn exe(&self, dice: &mut Dice) -> &str {
        let go = self.go.as_deref().filter(|_| dice.below(4) == 0);
        go.unwrap_or(ours())
    }

    fn begin(&self, id: &str) {
        self.world.lock().unwrap().pending.insert(id.to_owned());
    }

    fn add(&self, id: &str, dice: &mut Dice) -> Option<String> {
        self.begin(id);
        let conf = self.pool.conf(&json!({ "cniVersion": "1.0.0" }));
        let run = self
            .pool
            .call_of(self.exe(dice), "ADD", id)
            .conf(&conf)
            .run();
        let mut world = self.world.lock().unwrap();
        if run.status != 0 {
            assert!(
                run.stdout.contains("no IP addresses available"),
                "{}",
                run.stdout
            );
            world.pending.remove(id);
            return None;
        }
        let ip: IpAddr = address(&run.json()).parse().unwrap();
        let twice = world.held.iter().find(|(_, held)| **held == ip);
        assert!(twice.is_none(), "{ip} was given to {id} and {twice:?}");
        world.held.insert(id.to_owned(), ip);
        world.pending.remove(id);
        Some(id.to_owned())
    }

    fn del(&self, id: &str, dice: &mut Dice) {
        {
            let mut world = self.world.lock().unwrap();
            // From here on another owner may get the address.
            world.held.remove(id);
        }
        let conf = self.pool.conf(&json!({ "cniVersion": "1.0.0" }));
        self.pool
            .call_of(self.exe(dice), "DEL", id)
            .conf(&conf)
            .run()
            .succeeded();
    }

    /// An ADD that is killed at some point, perhaps too late.
    fn killed_add(&self, id: &str, dice: &mut Dice) {
        self.begin(id);
        let running = self.pool.call("ADD", id).spawn();
        for _moment in 0..dice.below(3000) {
            thread::yield_now();
        }
        running.kill();
        self.world.lock().unwrap().pending.remove(id);
    }

    fn gc(&self) {
        // An ADD that begins during GC would not be on GC's list. Runtimes do not do that either.
        let world = self.world.lock().unwrap();
        let valid: Vec<_> = world
            .held
            .keys()
            .chain(&world.pending)
            .map(String::as_str)
            .collect();
        self.pool.gc(&valid);
    }
}

/// The number for the long form.
pub(crate) fn asked() -> Option<usize> {
    let count = std::env::var("LINKSPAN_TORTURE").ok();
    count.map(|count| count.parse().unwrap())
}

#[test]
fn nothing_is_given_twice_and_nothing_is_lost() {
    let asked = asked();
    let torture = Torture {
        pool: Pool::new(
            "torture",
            &json!({ "subnet": "10.1.2.0/25", "lockTimeout": 600 }),
        ),
        world: Mutex::default(),
        started: AtomicUsize::new(0),
        total: asked.unwrap_or_else(|| times(500, 150)),
        hands: if asked.is_some() { 500 } else { 50 },
        go: pool::go("one of four calls by the Go plugin"),
    };
    thread::scope(|scope| {
        for seed in 0..torture.hands {
            let torture = &torture;
            scope.spawn(move || torture.work(seed as u64 + 1));
        }
    });
    let Torture { pool, world, .. } = torture;
    let World { held, pending } = world.into_inner().unwrap();
    assert!(pending.is_empty());
    for (id, ip) in &held {
        let text = format!("{id}\r\neth0");
        assert_eq!(pool.leases().get(ip), Some(&text));
        pool.run("CHECK", id).succeeded();
    }
    let ids: Vec<_> = held.keys().map(String::as_str).collect();
    pool.gc(&ids);
    let stored: BTreeMap<_, _> = pool
        .leases()
        .into_iter()
        .map(|(ip, text)| (text.replace("\r\neth0", ""), ip))
        .collect();
    assert_eq!(stored, held);
    assert_eq!(pool.records().len(), held.len());
    // None is lost: exactly the rest of the pool is still available.
    for n in 0..125 - held.len() {
        pool.add(&format!("rest{n}"));
    }
    pool.run("ADD", "late").failed(999);
}
