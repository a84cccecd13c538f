//! The answers of the plugins: STATUS of each network, if no other check has found why its ADD fails.

use linkspan_runtime::sentence;

use super::finding::{Finding, Severity};
use super::node::Node;

/// Networks whose plugins could not attach a container now.
pub(super) fn status(node: &Node<'_>, found: &mut Vec<Finding>) {
    for conf in node.networks() {
        let is_told = found.iter().any(|one| {
            let is_host_or_own = one
                .network
                .as_deref()
                .is_none_or(|name| name == conf.name());
            one.severity == Severity::Fail && is_host_or_own && one.container.is_none()
        });
        if is_told {
            continue;
        }
        if let Err(failure) = node.places.runtime.strict_status(conf.0) {
            let fault = Finding::fail("not-ready", sentence(&failure)).of_network(conf.name());
            found.push(fault.mend(format!("linkspan status {}", conf.name())));
        }
    }
}
