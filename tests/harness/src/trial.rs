//! Calls that must be refused, and must change nothing.

use serde_json::Value;

use crate::call::Call;
use crate::conf::{good, master, with};
use crate::lab::{Lab, Sandbox};
use crate::snapshot::Snapshot;

/// A container on a host, both in their initial state.
#[derive(Debug)]
pub struct Trial<'a> {
    lab: &'a Lab,
    sandbox: Sandbox,
    before: (Snapshot, Snapshot),
}

impl<'a> Trial<'a> {
    /// Starts with the host as it is, plus the [`master`], and a new container.
    pub fn new(lab: &'a Lab) -> Self {
        master(lab);
        let sandbox = lab.sandbox();
        let before = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        Self {
            lab,
            sandbox,
            before,
        }
    }

    /// `verb` of `plugin` with a valid configuration, changed by `over`.
    pub fn call(&self, plugin: &str, verb: &str, over: &Value) -> Call {
        let conf = with(good(self.lab, plugin), over);
        let call = self.lab.plugin(plugin).of("pod", &self.sandbox);
        call.conf(&conf).verb(verb)
    }

    /// Asserts that `call` fails with `code` and this text, and changed nothing.
    pub fn refused(&self, call: &Call, code: u64, says: &str) {
        let told = call.run().failed(code);
        assert!(told.contains(says), "{says:?} is not in {told:?}");
        self.unchanged(&told);
    }

    /// Asserts that nothing changed.
    pub fn unchanged(&self, after: &str) {
        let now = (
            Snapshot::of_host(self.lab),
            Snapshot::of_sandbox(&self.sandbox),
        );
        assert_eq!(now, self.before, "after {after}");
    }
}
