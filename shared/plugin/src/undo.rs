//! Undoing what a failed ADD had made.

use std::fmt;

use linkspan_protocol::error::Failure;

use crate::Result;

type Step = Box<dyn FnOnce() -> Result<()>>;

/// What was made so far, and how to unmake it. The mechanism that makes a thing pushes its step right after.
///
/// This is courtesy towards the runtime, not a journal: a process that is killed undoes nothing, and DEL copes.
#[derive(Default)]
pub struct Undo {
    steps: Vec<(&'static str, Step)>,
}

impl Undo {
    /// Remembers how to unmake what was just made.
    pub fn push(&mut self, label: &'static str, step: impl FnOnce() -> Result<()> + 'static) {
        self.steps.push((label, Box::new(step)));
    }

    /// The same for what another program, or the kernel, was to make: whoever refused has made nothing, but whoever died,
    /// or was not heard to the end, may have made everything.
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

    /// The same; the step runs when all others have, those before it included.
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

    /// Runs `attempt`; when it fails, runs its steps in reverse and notes on the failure which of them failed. Hands the
    /// steps of a success to whoever may find that it was in vain.
    pub fn scope<T>(attempt: impl FnOnce(&mut Self) -> Result<T>) -> Result<(T, Self)> {
        let mut undo = Self::default();
        match attempt(&mut undo) {
            Ok(value) => Ok((value, undo)),
            Err(failure) => Err(undo.run(failure)),
        }
    }

    /// Unmakes what was made, because of `failure`, and notes on it what could not be unmade.
    pub(crate) fn run(self, mut failure: Failure) -> Failure {
        for (label, step) in self.steps.into_iter().rev() {
            if let Err(err) = step() {
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
