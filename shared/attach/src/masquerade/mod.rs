//! `ipMasq`: the world sees the host's address instead of the container's.

mod native;
mod reference;

use linkspan_nftables::Netfilter;
use linkspan_plugin::{AddCall, CheckCall, DelCall, GcCall, Result, StatusCall, Undo};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::result::AddResult;

use crate::backend::Backend;
use crate::iptables::Iptables;
use crate::owner::{Owner, Stale};
use crate::table;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masquerade {
    backend: Option<Backend>,
}

impl Masquerade {
    /// The keys `ipMasq` and `ipMasqBackend`; the latter is looked at only where the former is on.
    pub fn parse(on: bool, backend: Option<&str>) -> Result<Option<Self>> {
        if !on {
            return Ok(None);
        }
        let backend = Backend::parse("ipMasqBackend", backend)?;
        Ok(Some(Self { backend }))
    }

    /// Masquerades what the addresses of `result` send to the world.
    pub fn apply(self, call: &AddCall, result: &AddResult, undo: &mut Undo) -> Result<()> {
        let native = self.backend != Some(Backend::Iptables);
        if native && native::apply(call, result, undo)? {
            return Ok(());
        }
        match self.backend {
            Some(Backend::Nftables) => Err(unsupported()),
            _ => reference::apply(call, result, undo),
        }
    }

    /// Every address of `result` is masqueraded, in our table or, for containers of the Go suite, in its chains.
    pub fn verify(self, call: &CheckCall, result: &AddResult) -> Result<()> {
        let netfilter = table::open()?;
        match netfilter.as_ref() {
            Some(netfilter)
                if self.backend != Some(Backend::Iptables)
                    && !reference::is_there(call, Some(netfilter))? =>
            {
                native::verify(call, result, netfilter)
            }
            netfilter => reference::verify(call, result, netfilter),
        }
    }

    /// Some packet filter could do it.
    pub fn status(self, _call: &StatusCall) -> Result<()> {
        let refused = match (self.backend, table::open()) {
            (Some(Backend::Iptables), _) | (None, Ok(None)) => Iptables::of(false).saved().err(),
            (Some(Backend::Nftables), Ok(None)) => Some(unsupported()),
            (_, opened) => opened.err(),
        };
        refused.map_or(Ok(()), |failure| {
            Err(failure
                .with_code(ErrorCode::NOT_AVAILABLE)
                .context("ipMasq has no usable packet filter"))
        })
    }
}

/// Removes what this attachment has in any packet filter, also where the configuration does not say `ipMasq` any more,
/// and whichever suite made it.
///
/// The connection comes back open: to close one soon after a removal takes until the kernel has done with what was
/// removed (some 15 ms), which whoever has something else to wait for need not wait for twice.
pub fn remove(call: &DelCall) -> Result<Option<Netfilter>> {
    let netfilter = table::open()?;
    if let Some(netfilter) = &netfilter {
        let own = Owner::of(&call.network, &call.attachment);
        native::remove(netfilter, |owner| *owner == own)?;
    }
    reference::remove(call, netfilter.as_ref())?;
    Ok(netfilter)
}

/// Removes what stale attachments have there, in our table and in the Go suite's, and in the chains of iptables.
pub fn collect(call: &GcCall, stale: &Stale) -> Result<()> {
    let netfilter = table::open()?;
    if let Some(netfilter) = &netfilter {
        native::remove(netfilter, |owner| stale.includes(owner))?;
    }
    reference::collect(call, netfilter.as_ref())
}

fn unsupported() -> Failure {
    Failure::new(
        ErrorCode::INTERNAL,
        "masquerade: this kernel has no nf_tables",
    )
    .hint("load the kernel module nf_tables, or set \"ipMasqBackend\" to \"iptables\"")
}
