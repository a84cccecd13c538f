//! The steps that undo a failed ADD.

use std::fmt;

use linkspan_protocol::error::Failure;

use crate::{Result, telemetry};

type Step = Box<dyn FnOnce() -> Result<()>>;

/// The steps that undo everything made so far. The mechanism that makes a thing pushes its step right after.
///
/// This is courtesy towards the runtime, not a journal: a process that is killed undoes nothing, and DEL copes.
#[derive(Default)]
pub struct Undo {
    steps: Vec<(&'static str, Step)>,
}

impl Undo {
    /// Adds the step that undoes the last change.
    pub fn push(&mut self, label: &'static str, step: impl FnOnce() -> Result<()> + 'static) {
        self.steps.push((label, Box::new(step)));
    }

    /// The same for a thing that another program, or the kernel, makes. An explicit refusal means that nothing was
    /// made. A crash or a lost reply means that it may have been made, so the step is added too.
    pub fn push_unless_refused<T>(
        &mut self,
        outcome: Result<T>,
        label: &'static str,
        step: impl FnOnce() -> Result<()> + 'static,
    ) -> Result<T> {
        if outcome.as_ref().err().is_none_or(Failure::is_in_doubt) {
            self.push(label, step);
        }
        outcome
    }

    /// The same, but the step runs after all others.
    pub fn push_last_unless_refused<T>(
        &mut self,
        outcome: Result<T>,
        label: &'static str,
        step: impl FnOnce() -> Result<()> + 'static,
    ) -> Result<T> {
        if outcome.as_ref().err().is_none_or(Failure::is_in_doubt) {
            self.steps.insert(0, (label, Box::new(step)));
        }
        outcome
    }

    /// Runs `attempt`; when it fails, runs its steps in reverse and notes on the failure which of them failed. Returns
    /// the steps of a success, for a caller that may fail later.
    pub fn scope<T>(attempt: impl FnOnce(&mut Self) -> Result<T>) -> Result<(T, Self)> {
        let mut undo = Self::default();
        match attempt(&mut undo) {
            Ok(value) => Ok((value, undo)),
            Err(failure) => Err(undo.run(failure)),
        }
    }

    /// Runs the steps because of `failure`, and notes on it which of them failed.
    pub(crate) fn run(self, mut failure: Failure) -> Failure {
        if self.steps.is_empty() {
            return failure;
        }
        let _undo = telemetry::step("undo");
        for (label, step) in self.steps.into_iter().rev() {
            let traced = telemetry::step(label);
            let done = step();
            traced.note(&done);
            if let Err(err) = done {
                failure.note(format!("undo failed to {label}: {err}"));
            }
        }
        failure
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.steps.iter().map(|(label, _)| label))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn steps_run_in_reverse_and_their_failures_are_noted() {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let failed = Undo::scope(|undo| -> Result<()> {
            for label in ["delete a", "delete b"] {
                let ran = Rc::clone(&ran);
                undo.push(label, move || {
                    ran.borrow_mut().push(label);
                    Err(Failure::config(format!("{label} is busy")))
                });
            }
            Err(Failure::config("no"))
        });
        assert_eq!(*ran.borrow(), ["delete b", "delete a"]);
        assert_eq!(
            failed.unwrap_err().to_wire().details,
            "undo failed to delete b: delete b is busy; undo failed to delete a: delete a is busy"
        );
    }

    #[test]
    fn what_another_program_may_have_made_is_unmade() {
        let failures = [
            (Failure::config("refused"), "refused"),
            (
                Failure::config("died").in_doubt(),
                "died; undo failed to release: asked",
            ),
        ];
        for (failure, expected) in failures {
            let failed = Undo::scope(|undo| {
                let step = || Err(Failure::config("asked"));
                undo.push_unless_refused::<()>(Err(failure), "release", step)
            });
            assert_eq!(failed.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_last_step_runs_after_those_before_it() {
        let failed = Undo::scope(|undo| -> Result<()> {
            undo.push("delete", || Err(Failure::config("first")));
            undo.push_last_unless_refused(Ok(()), "release", || Err(Failure::config("last")))?;
            undo.push("remove", || Err(Failure::config("at once")));
            Err(Failure::config("no"))
        });
        let told = failed.unwrap_err().to_wire().details;
        let at = |word: &str| told.find(word).unwrap();
        assert!(
            at("at once") < at("first") && at("first") < at("last"),
            "{told}"
        );
    }

    #[test]
    fn success_undoes_nothing() {
        let kept = Undo::scope(|undo| {
            undo.push("never", || Err(Failure::config("ran")));
            Ok(7)
        });
        assert_eq!(kept.unwrap().0, 7);
    }
}
