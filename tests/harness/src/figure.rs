//! Figures of passed tests: the amount of work that a test has done.

use crate::said::say;

/// The prefix of a figure's line.
pub(crate) const MARK: &str = "FIGURE ";

/// Prints a figure.
pub fn tell(what: &str) {
    say(MARK, what);
}
