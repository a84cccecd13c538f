//! Every target over its corpus, and over a limited number of reproducible changes of it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and one that hangs by aborting"
)]

mod change;

use std::fs;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use linkspan_harness::dice::Dice;
use linkspan_harness::figure;
use linkspan_harness::lab::in_lab;
use linkspan_hostile::{TARGETS, target};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
const FUZZERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
const SEED: u64 = 0x5eed;
/// Maximum size of a corpus, since every clone has it.
const FILES: usize = 12;
/// Time limit for an input that usually takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The files of a corpus, by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(Path::new(CORPUS).join(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty() && paths.len() <= FILES, "{name}");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(name: &str, input: &[u8]) {
    let what = move || format!("{name}, seed {SEED:#x}: b\"{}\"", input.escape_ascii());
    let (running, watched) = mpsc::channel::<()>();
    let watch = move || {
        if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // A thread cannot be ended, so the test cannot fail. The line shows the input to a waiting person.
            drop(io::stderr().write_all(format!("hangs: {}\n", what()).as_bytes()));
            process::abort();
        }
    };
    let tried = thread::scope(|scope| {
        scope.spawn(watch);
        let tried = panic::catch_unwind(AssertUnwindSafe(|| target(name)(input)));
        drop(running);
        tried
    });
    assert!(tried.is_ok(), "{}", what());
}

/// Runs the target in a network namespace, so that a defect cannot reach the machine.
fn short(name: &str, changes: usize) {
    in_lab("/nonexistent", |_| {
        let corpus = corpus(name);
        for input in &corpus {
            run(name, input);
        }
        let mut dice = Dice::new(SEED);
        for _ in 0..changes {
            run(name, &change::changed(&corpus, &mut dice));
        }
        figure::tell(&format!(
            "hostile input: {name}: {} inputs",
            corpus.len() + changes
        ));
    });
}

#[test]
fn config() {
    short("config", 600);
}

#[test]
fn environment() {
    short("environment", 1000);
}

#[test]
fn leases() {
    short("leases", 60);
}

#[test]
fn dhcp() {
    short("dhcp", 4000);
}

#[test]
fn lists() {
    short("lists", 600);
}

#[test]
fn netfilter() {
    short("netfilter", 4000);
}

#[test]
fn results() {
    short("results", 600);
}

#[test]
fn rtnetlink() {
    short("rtnetlink", 2000);
}

#[test]
fn every_target_has_a_test_a_corpus_and_a_fuzzer() {
    let here = include_str!("main.rs");
    for (name, _) in TARGETS {
        assert!(here.contains(&format!("short(\"{name}\", ")), "{name}");
        corpus(name);
        let fuzzer = Path::new(FUZZERS).join(format!("{name}.rs"));
        assert!(
            fs::read_to_string(fuzzer)
                .unwrap()
                .contains(&format!("\"{name}\""))
        );
    }
}
