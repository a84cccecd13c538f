//! Telling what a test has tried: a figure is worth reading when the test passes.

use crate::said::say;

/// How a line of a figure begins.
pub(crate) const MARK: &str = "FIGURE ";

/// Says a figure.
pub fn tell(what: &str) {
    say(MARK, what);
}
