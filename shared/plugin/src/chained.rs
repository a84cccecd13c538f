//! The parts that chained plugins share: the result of the plugin before them.

use linkspan_protocol::error::Failure;
use linkspan_protocol::result::AddResult;

use crate::{AddCall, Result};

/// The result of the plugin before this one, which a chained plugin changes and passes on.
pub fn previous(call: &AddCall) -> Result<AddResult> {
    call.netconf.prev_result()?.ok_or_else(|| {
        Failure::config("must be called as chained plugin").hint(format!(
            "put {} after an interface plugin in the list",
            call.netconf.kind
        ))
    })
}
