//! A test double for a plugin that records its calls.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::call::Call;
use crate::lab::Lab;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/doubles/recorder");

/// Doubles in a lab's `CNI_PATH`, with one log for all of them.
#[derive(Debug)]
pub struct Recorder {
    log: PathBuf,
}

impl Recorder {
    /// Doubles under `names`.
    pub fn new(lab: &Lab, names: &[&str]) -> Self {
        for name in names {
            symlink(SCRIPT, lab.bin().join(name)).unwrap();
        }
        Self {
            log: lab.dir().join("recorder.log"),
        }
    }

    /// The call with the doubles' environment.
    #[must_use]
    pub fn watch(&self, call: Call) -> Call {
        call.env("RECORDER_LOG", &self.log.to_string_lossy())
    }

    /// The doubles' log, which they find in `RECORDER_LOG`.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The calls since the last look, in order.
    pub fn calls(&self) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        drop(fs::remove_file(&self.log));
        let lines = log.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// The same as words: `VERB name container`.
    pub fn verbs(&self) -> Vec<String> {
        let told = |call: Value| {
            let word = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
            let words = [word("verb"), word("as"), word("container")];
            words.join(" ").trim_end().to_owned()
        };
        self.calls().into_iter().map(told).collect()
    }
}
