//! Conversion of the kernel's errors to the protocol's.

use linkspan_protocol::error::{ErrorCode, Failure};

use crate::error::Error;
use crate::netns::OpenError;

/// A refusal of the kernel, with the kernel's words as the detail. Without a reply, the failure is in doubt.
#[expect(clippy::needless_pass_by_value, reason = "its place is map_err")]
pub fn kernel(err: Error) -> Failure {
    let hint = err.hint();
    let says = err.kernel_says.clone();
    let mut failure = Failure::new(ErrorCode::INTERNAL, err.to_string());
    if let Some(says) = says {
        failure = failure.detail(format!("kernel: {says}"));
    }
    if err.is_unanswered() {
        failure = failure.in_doubt();
    }
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A `CNI_NETNS` that cannot be entered: code 8.
pub fn netns(err: &OpenError) -> Failure {
    let hint = if err.is_missing() {
        "start the container before attaching it, or detach it with DEL"
    } else if err.is_forbidden() {
        "run as root; for a path below /proc of another process, with CAP_SYS_PTRACE"
    } else {
        "CNI_NETNS must be the path of a network namespace, such as /run/netns/NAME"
    };
    Failure::new(ErrorCode::INVALID_NETNS, err.to_string()).hint(hint)
}
