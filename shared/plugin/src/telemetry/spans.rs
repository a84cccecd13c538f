//! The steps of a call with their times, where its trace is recorded.
//!
//! The record belongs to the thread, because a process serves one call, and a delegate in the same process is a step of
//! it. Mechanisms name their steps without knowing whether anybody listens.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use linkspan_protocol::error::Failure;

use super::PARENT;
use super::context::Context;

thread_local! {
    static RECORD: RefCell<Option<Recorded>> = const { RefCell::new(None) };
}

/// An odd number, so that its multiples are as many ids as there are.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The spans of a call. The first one is the call's own.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) context: Context,
    pub(super) spans: Vec<Span>,
    /// The steps that have not ended, innermost last.
    open: Vec<usize>,
    began: Instant,
    /// The same moment, since 1970.
    epoch: Duration,
    seed: u64,
}

#[derive(Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) parent: String,
    /// Since 1970.
    pub(super) from: Duration,
    pub(super) to: Option<Duration>,
    pub(super) error: Option<String>,
}

/// A step that ends when this is dropped.
#[derive(Debug)]
#[must_use = "the step ends when this is dropped"]
pub struct Step(Option<usize>);

/// Begins the record of this thread's call.
pub(super) fn record(context: &Context) {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut recorded = Recorded {
        context: context.clone(),
        spans: Vec::new(),
        open: Vec::new(),
        began: Instant::now(),
        epoch: epoch.unwrap_or_default(),
        // The keys of the standard library's hashes are random numbers of the kernel.
        seed: RandomState::new().build_hasher().finish(),
    };
    recorded.begin(String::new());
    RECORD.with_borrow_mut(|record| *record = Some(recorded));
}

/// Ends the record and returns it.
pub(super) fn recorded() -> Option<Recorded> {
    let record = RECORD.try_with(|record| record.try_borrow_mut().ok()?.take());
    let mut recorded = record.ok().flatten()?;
    recorded.end(0);
    Some(recorded)
}

/// Begins a step of the call.
pub fn step(name: &str) -> Step {
    named_step(|| name.to_owned())
}

/// The same with a name that is made only where somebody listens.
pub(crate) fn named_step(name: impl FnOnce() -> String) -> Step {
    Step(RECORD.with_borrow_mut(|record| Some(record.as_mut()?.begin(name()))))
}

impl Step {
    /// Notes that the step failed, if it did.
    pub(crate) fn note<T>(&self, done: &Result<T, Failure>) {
        let (Some(index), Err(failure)) = (self.0, done) else {
            return;
        };
        RECORD.with_borrow_mut(|record| {
            if let Some(span) = record.as_mut().and_then(|all| all.spans.get_mut(index)) {
                span.error = Some(failure.message());
            }
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let Some(index) = self.0 else { return };
        RECORD.with_borrow_mut(|record| {
            if let Some(record) = record {
                record.end(index);
            }
        });
    }
}

/// The environment of a program that the innermost step executes: what that one records belongs below the step.
pub(crate) fn hand_on(env: &[(&'static str, String)]) -> Option<Vec<(&'static str, String)>> {
    RECORD.with_borrow(|record| {
        let record = record.as_ref()?;
        let step = record.spans.get(*record.open.last()?)?;
        let mut env = env.to_vec();
        env.push((PARENT, record.context.below(&step.id)));
        Some(env)
    })
}

impl Recorded {
    fn begin(&mut self, name: String) -> usize {
        let index = self.spans.len();
        let above = self.open.last().and_then(|above| self.spans.get(*above));
        let parent = above.map_or_else(|| self.context.parent.clone(), |above| above.id.clone());
        let number = u64::try_from(index).unwrap_or_default();
        let id = self.seed.wrapping_add(number.wrapping_mul(STRIDE)).max(1);
        self.spans.push(Span {
            name,
            id: format!("{id:016x}"),
            parent,
            from: self.now(),
            to: None,
            error: None,
        });
        self.open.push(index);
        index
    }

    /// Ends the step, and those in it.
    fn end(&mut self, index: usize) {
        let now = self.now();
        while let Some(inner) = self.open.pop_if(|inner| *inner >= index) {
            if let Some(span) = self.spans.get_mut(inner) {
                span.to = Some(now);
            }
        }
    }

    fn now(&self) -> Duration {
        self.epoch + self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Context::parse(text, String::new()).unwrap()
    }

    #[test]
    fn steps_nest_as_they_run() {
        record(&context());
        {
            let outer = step("outer");
            let _inner = step("inner");
            let env = hand_on(&[("A", "b".to_owned())]).unwrap();
            outer.note::<()>(&Err(Failure::config("broken")));
            let (_, parent) = env.last().unwrap();
            assert!(parent.ends_with("-01"), "{parent}");
        }
        drop(step("next"));
        let recorded = recorded().unwrap();
        let [call, outer, inner, next] = recorded.spans.as_slice() else {
            panic!("{recorded:?}");
        };
        assert_eq!(call.parent, "00f067aa0ba902b7");
        assert_eq!((&outer.parent, &next.parent), (&call.id, &call.id));
        assert_eq!(inner.parent, outer.id);
        assert_eq!(outer.error.as_deref(), Some("broken"));
        let ends = recorded.spans.iter().map(|span| span.to.unwrap());
        assert!(ends.zip(&recorded.spans).all(|(to, span)| to >= span.from));
        assert!(super::recorded().is_none());
    }

    #[test]
    fn without_a_record_a_step_is_nothing() {
        let step = named_step(|| panic!("nobody listens"));
        assert!(step.0.is_none() && hand_on(&[]).is_none());
    }
}
