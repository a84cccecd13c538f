//! Calls of the suite's own executable: judging, detaching and restoring.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use linkspan_invoke::{communicate, start};

use crate::error::{Error, Result};

/// Runs `linkspan` with these arguments and an empty environment, and waits for its end.
#[expect(
    clippy::disallowed_methods,
    reason = "it is another executable, and no plugin"
)]
pub fn run<S: AsRef<OsStr>>(linkspan: &Path, args: &[S]) -> Result<Output> {
    let mut command = Command::new(linkspan);
    command.env_clear().args(args);
    start(&mut command)
        .and_then(|child| communicate(child, &[], None))
        .map_err(Error::file(linkspan))
}
