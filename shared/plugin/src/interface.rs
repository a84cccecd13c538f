//! The common parts of plugins that make an interface: addresses from IPAM, one teardown, one collection.

use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use crate::{AddCall, Call, DelCall, GcCall, Result, Teardown, Undo, delegate};

/// Whether a plugin needs an IPAM plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipam {
    /// A configuration without one gives the container no addresses.
    Optional,
    /// A configuration without one is refused.
    Needed,
}

impl Ipam {
    fn is_asked(self, call: &Call) -> bool {
        self == Self::Needed || !call.netconf.ipam.kind.is_empty()
    }
}

/// Asks IPAM for addresses of the interface that will stand at `index` of the result's interfaces.
pub fn lease(call: &AddCall, index: i64, undo: &mut Undo) -> Result<AddResult> {
    let mut lease = delegate::add(call, undo)?;
    has_addresses(&lease)?;
    for ip in &mut lease.ips {
        ip.interface = Some(index);
    }
    Ok(lease)
}

/// Refuses a result of IPAM without addresses.
pub fn has_addresses(lease: &AddResult) -> Result<()> {
    if lease.ips.is_empty() {
        return Err(Failure::new(
            ErrorCode::INTERNAL,
            "IPAM plugin returned missing IP config",
        ));
    }
    Ok(())
}

/// Replaces IPAM's name resolution by that of the configuration, if any.
pub fn resolve_names(call: &AddCall, result: &mut AddResult) {
    if call.netconf.dns.is_present() {
        result.dns = call.netconf.dns.clone().into_dns();
    }
}

/// DEL: runs `steps`, which remove the interface and the references to it, and then releases the addresses. An address
/// that is released over the interface itself goes first.
pub fn detach(call: &DelCall, ipam: Ipam, steps: impl FnOnce(&mut Teardown)) -> Result<()> {
    let mut teardown = Teardown::default();
    let is_first = delegate::asks_over_the_interface(call);
    let release = |teardown: &mut Teardown, is_now: bool| {
        if is_now && ipam.is_asked(call) {
            teardown.run("release addresses", || delegate::del(call));
        }
    };
    release(&mut teardown, is_first);
    steps(&mut teardown);
    release(&mut teardown, !is_first);
    teardown.finish()
}

/// GC: deletes the interfaces of stale attachments, releases their addresses, and runs the `rest`. The order of the
/// first two is as in [`detach`].
pub fn collect(
    call: &GcCall,
    ipam: Ipam,
    interfaces: impl FnOnce() -> Result<()>,
    rest: impl FnOnce(&mut Teardown),
) -> Result<()> {
    let mut teardown = Teardown::default();
    let is_first = delegate::asks_over_the_interface(call);
    let release = |teardown: &mut Teardown, is_now: bool| {
        if is_now && ipam.is_asked(call) {
            teardown.run("release addresses", || delegate::gc(call));
        }
    };
    release(&mut teardown, is_first);
    teardown.run("delete interfaces", interfaces);
    release(&mut teardown, !is_first);
    rest(&mut teardown);
    teardown.finish()
}
