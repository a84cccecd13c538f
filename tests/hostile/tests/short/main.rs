//! Every target over its corpus, and over a bounded number of changes of it that are the same in every run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod change;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use linkspan_harness::dice::Dice;
use linkspan_harness::figure;
use linkspan_harness::lab::in_lab;
use linkspan_hostile::{TARGETS, target};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
const FUZZERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
const SEED: u64 = 0x5eed;
/// A corpus is what everybody downloads.
const FILES: usize = 12;

/// The files of a corpus, by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(Path::new(CORPUS).join(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty() && paths.len() <= FILES, "{name}");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(name: &str, input: &[u8]) {
    let tried = panic::catch_unwind(AssertUnwindSafe(|| target(name)(input)));
    assert!(
        tried.is_ok(),
        "{name}, seed {SEED:#x}: b\"{}\"",
        input.escape_ascii()
    );
}

/// Runs the target in a network namespace, so that even a defect reaches nothing of the machine.
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
