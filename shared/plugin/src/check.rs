//! The result that CHECK compares with, and the failure for a difference.

use std::fmt;

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use crate::{CheckCall, Result};

/// A difference between the promised state and the present one.
pub fn mismatch(what: impl fmt::Display, expected: &str, actual: &str) -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        format!("{what}: expected {expected}, found {actual}"),
    )
    .hint("attach the container anew")
}

/// A property is as it was promised.
pub fn same(what: impl fmt::Display, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(mismatch(what, expected, found))
}

/// The result that CHECK needs.
pub fn promised(call: &CheckCall) -> Result<AddResult> {
    call.netconf.prev_result()?.ok_or_else(|| {
        Failure::config("Required prevResult missing")
            .hint("the runtime must hand the result of ADD to CHECK")
    })
}
